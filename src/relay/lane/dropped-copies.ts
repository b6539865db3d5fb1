import type { OutletContext } from './outlet.ts';
import type { PlannedMessage } from './planned-message.ts';

/** Copies that were planned and cannot be sent: nothing waits for them, and a replay can be asked for again. */
export function noteDropped(
  { logger, options: { stream } }: Pick<OutletContext, 'logger' | 'options'>,
  copies: readonly Pick<PlannedMessage, 'position'>[],
  reason: string,
): void {
  const [first] = copies;
  if (first === undefined) return;
  logger.warn(
    { event: 'copies-dropped', stream, copies: copies.length, position: first.position, reason },
    `${copies.length} copies of a replay do not go onto stream '${stream}', the first of them of the event at position ${first.position}: ${reason}`,
  );
}

export const UNSENDABLE =
  'the outbox does not hold their events any more, or the stream does not take their subjects any more';
