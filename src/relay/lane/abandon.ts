import type { Batch } from '../../batch-log/batch.ts';
import { type PlanOutcome, planIfLeading } from '../../batch-log/plan.ts';
import { logSpan } from '../../batch-log/recover.ts';
import { openLetters, settleLettersIfLeading } from '../../dead-letters/letters.ts';
import { positionsOf } from '../../postgres/position-ranges.ts';
import { unsettled } from './adopt.ts';
import { noteDropped } from './dropped-copies.ts';
import { eventsAt } from './events-at.ts';
import type { LaneContext } from './lane.ts';
import type { LaneLetters } from './lane-letters.ts';
import type { LaneLog } from './lane-log.ts';

/**
 * A stream that is no lane any more is gone: what was planned for it and not stored can only go to other lanes. Its log
 * ends with a row that says so.
 */
export async function abandonStream(options: {
  readonly context: LaneContext;
  readonly last: Batch;
  readonly letters: LaneLetters;
  readonly log: LaneLog;
}): Promise<PlanOutcome> {
  const { context, last, letters, log } = options;
  const { session, epoch } = context;
  // Their markers will never be stored: they wait for a decision without.
  const open = await openLetters(session, last.stream);
  const marked = open.filter(({ state }) => state === 'marking').map(({ position }) => position);
  if (!(await settleLettersIfLeading(session, epoch, { marked, stored: [] }))) return 'fenced';
  const groups = await unsettled({ session, last, settledTo: null });
  const events = await eventsAt(session, [...positionsOf(groups.get(null) ?? [])]);
  const dead = [...events.values()].map((event) =>
    letters.letterFor(event, {
      state: 'parked',
      outcome: 'moved',
      reason: `it was planned for stream '${last.stream}', which is gone and no lane any more; it goes to the lane that takes its subject`,
    }),
  );
  const copies = [...groups].flatMap(([prefix, ranges]) => (prefix === null ? [] : [...positionsOf(ranges)]));
  noteDropped(
    context,
    copies.map((position) => ({ position })),
    'it is gone and no lane any more',
  );
  log.restart(last, last.incarnation);
  const end = Math.max(last.lastSequence, (await logSpan(session, last.stream, last.incarnation)).end);
  const row = log.next({ kind: 'new', first: end + 1, last: end, positions: [] });
  return planIfLeading(session, [{ ...row, settledTo: end, settledBatch: last.batch }], { letters: dead });
}
