import type { Batch } from '../../batch-log/batch.ts';
import { planIfLeading } from '../../batch-log/plan.ts';
import { lastRows, logSpan } from '../../batch-log/recover.ts';
import type { Session } from '../../postgres/session.ts';
import { CHECKPOINT_AFTER } from '../lane/lane.ts';

/**
 * A start goes on from the lowest place in the log. A stream that is no lane any more stays where it was when it was one,
 * so now and then its log says that reading, which all lanes share, has gone on without it.
 */
export async function moveFormerStreams(
  session: Session,
  options: {
    readonly epoch: number;
    /** Streams whose lanes write their own rows. */
    readonly present: ReadonlySet<string>;
    /** Of the reader that is furthest behind. */
    readonly reading: { readonly readTo: number; readonly openFrom: number };
  },
): Promise<'done' | 'fenced'> {
  const { epoch, present, reading } = options;
  const isBehind = ({ stream, openFrom }: Batch) =>
    !present.has(stream) && reading.openFrom - openFrom >= CHECKPOINT_AFTER;
  for (const last of (await lastRows(session)).filter(isBehind)) {
    const { stream, incarnation, ordering, batch, settledTo, settledBatch } = last;
    const lastSequence = Math.max(last.lastSequence, (await logSpan(session, stream, incarnation)).end);
    const row = {
      stream,
      incarnation,
      batch: batch + 1,
      epoch,
      ordering,
      kind: 'new' as const,
      firstSequence: lastSequence + 1,
      lastSequence,
      settledTo,
      settledBatch,
      positions: [],
      subjectPrefix: null,
      parked: [],
      ...reading,
    };
    if ((await planIfLeading(session, [row])) === 'fenced') return 'fenced';
  }
  return 'done';
}
