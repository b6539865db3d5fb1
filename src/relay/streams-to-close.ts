import { type Batch, saysAllSettled } from '../batch-log/batch.ts';
import { lastRows, logSpan } from '../batch-log/recover.ts';
import type { Session } from '../postgres/session.ts';
import type { LaneOptions } from './options.ts';

/** Streams of the log that are no lane any more, and whose last row does not say that all is settled. */
export async function streamsToClose(
  session: Session,
  lanes: readonly LaneOptions[],
): Promise<LaneOptions[]> {
  const toClose: LaneOptions[] = [];
  for (const last of await lastRows(session)) {
    const { stream, ordering } = last;
    if (lanes.some((lane) => lane.stream === stream) || (await isSettled(session, last))) continue;
    toClose.push({ stream, ordering, subjects: [] });
  }
  return toClose;
}

async function isSettled(session: Session, last: Batch): Promise<boolean> {
  const { stream, incarnation, ordering, settledTo } = last;
  if (ordering !== 'stream') return saysAllSettled(last);
  // The last row may lie inside older plans: how far they reach, it does not say.
  return (settledTo ?? 0) >= (await logSpan(session, stream, incarnation)).end;
}
