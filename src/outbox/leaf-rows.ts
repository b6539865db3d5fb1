import { complementOf, type PositionRanges } from '../postgres/position-ranges.ts';
import type { Session } from '../postgres/session.ts';

/** Positions of some rows in a leaf. */
export interface LeafRanges {
  readonly segment: number;
  readonly ranges: PositionRanges;
}

/** The range of positions that a JavaScript number tells apart. A stranger's row may lie anywhere. */
export const LOWEST_POSITION = Number.MIN_SAFE_INTEGER + 1;
export const HIGHEST_POSITION = Number.MAX_SAFE_INTEGER - 1;

const ROWS_A_PAGE = 100_000;

/** The positions of a leaf's visible rows between two positions, both included, some at a time. */
export async function* leafPages(
  session: Session,
  leaf: { readonly segment: number; readonly from?: number; readonly upTo?: number },
): AsyncGenerator<PositionRanges, void> {
  const { segment, from = LOWEST_POSITION, upTo = HIGHEST_POSITION } = leaf;
  for (let next = from; next <= upTo; ) {
    const [row] = await session.query({
      // Rows are numbered in the order of the index: within an island, position and number grow alike.
      text: `select string_agg(low || ',' || high, ',' order by low), max(high), sum(size) from (
               select min(position) as low, max(position) as high, count(*) as size from (
                 select position, position - row_number() over (order by position) as island from (
                   select position from postcommit.outbox_${segment}
                    where position between $1 and $2 order by position limit ${ROWS_A_PAGE}) p) n
                group by island) r`,
      values: [next, upTo],
    });
    if (row?.[0] == null) return;
    yield row[0].split(',').map(Number);
    if (Number(row[2]) < ROWS_A_PAGE) return;
    next = Number(row[1]) + 1;
  }
}

/** SQL for whether a leaf has a visible row at a position besides these, wherever it lies. */
export function hasRowBeside(segment: number, present: PositionRanges): string {
  const holes = complementOf(present, LOWEST_POSITION, HIGHEST_POSITION).map(boundOf);
  const array = (offset: number) => `'{${holes.filter((_, i) => i % 2 === offset).join(',')}}'::int8[]`;
  return `exists (select from unnest(${array(0)}, ${array(1)}) hole(low, high)
    cross join lateral (select from postcommit.outbox_${segment}
                         where position between hole.low and hole.high limit 1) r)`;
}

/** PostgreSQL counts further than a number does. */
function boundOf(position: number): string {
  if (position === LOWEST_POSITION) return '-9223372036854775808';
  return position === HIGHEST_POSITION ? '9223372036854775807' : String(position);
}
