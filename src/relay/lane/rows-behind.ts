import type { Batch } from '../../batch-log/batch.ts';
import { type PositionRanges, sizeOf } from '../../postgres/position-ranges.ts';
import type { LaneLog } from './lane-log.ts';

/** Rows that plan once more what was planned before, one for each prefix (null: events under their own subjects), behind a sequence. */
export function rowsBehind(
  log: LaneLog,
  end: number,
  groups: ReadonlyMap<string | null, PositionRanges>,
): Batch[] {
  let last = end;
  return [...groups].map(([subjectPrefix, positions]) => {
    const first = last + 1;
    last += sizeOf(positions);
    const kind = subjectPrefix === null ? 'again' : 'replay';
    return log.next({ kind, first, last, positions, subjectPrefix });
  });
}
