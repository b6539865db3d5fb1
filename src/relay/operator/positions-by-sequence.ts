import { batchesWithin, lastBatch, logSpan, plannedStreams } from '../../batch-log/recover.ts';
import type { Session } from '../../postgres/session.ts';
import { placementOf } from '../lane/placement.ts';
import type { ReplayDetail } from './details.ts';

/** What is chosen by sequence is looked up at once, and this many positions fit well into memory and a statement. */
const SEQUENCES_AT_MOST = 1_000_000;

/**
 * The batch log is the map from a stream's sequences to positions. Undefined where none are asked for; a text says why
 * there are none. In rising order.
 */
export async function positionsBySequence(
  session: Session,
  { stream, fromSequence, toSequence }: ReplayDetail,
): Promise<readonly number[] | undefined | string> {
  if (stream === undefined) return undefined;
  const last = await lastBatch(session, stream);
  if (last === undefined)
    return `nothing was ever planned for a stream '${stream}', but for ${(await plannedStreams(session)).join(', ') || 'none'}`;
  if (fromSequence === undefined && toSequence === undefined) return undefined;
  if (last.ordering !== 'stream')
    return `stream '${stream}' is in '${last.ordering}' ordering, in which the log does not say what is at a sequence: choose by position or time`;
  const { incarnation } = last;
  const span = await logSpan(session, stream, incarnation);
  const from = Math.max(fromSequence ?? 1, span.start);
  const to = Math.min(toSequence ?? span.end, span.end);
  if (to - from >= SEQUENCES_AT_MOST)
    return `sequences ${from} to ${to} are more than ${SEQUENCES_AT_MOST} at a time: set fromSequence and toSequence closer together, or choose by position or time`;
  const batches = await batchesWithin(session, { stream, incarnation, from, to, since: span.since });
  const positions = [...placementOf(batches).slots]
    .filter(([sequence, { what }]) => what === 'event' && sequence >= from && sequence <= to)
    .map(([, { position }]) => position);
  return [...new Set(positions)].sort((a, b) => a - b);
}
