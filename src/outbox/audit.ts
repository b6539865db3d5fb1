import { lastRows } from '../batch-log/recover.ts';
import {
  differenceOf,
  includes,
  type PositionRanges,
  parseMultirange,
  rangesOf,
  unionOf,
} from '../postgres/position-ranges.ts';
import type { Session } from '../postgres/session.ts';
import { type Census, type CensusProgress, takeCensus } from './census.ts';
import type { LeafRanges } from './leaf-rows.ts';
import { SEGMENTS } from './live-segments.ts';

/**
 * Rows that no plan names, as far as a census could see: put in at a position of a stranger's choice, straight into a
 * leaf, or by a sequence that was set back, where no reader looks any more. Or read and about to be planned: only
 * `confirmUncovered` and whoever knows what is under way tell these apart.
 */
export interface Uncovered {
  readonly rows: readonly UncoveredRow[];
  /** How far each stream's log was compared with them. */
  readonly seen: ReadonlyMap<string, number>;
}

export interface UncoveredRow {
  readonly position: number;
  readonly segment: number;
  readonly subject: string;
}

export interface FindOptions {
  /** The highest cursor of all readers: what lies above in a leaf that all of them read is not read yet. */
  readonly cursor: number;
  /** Leaves that every reader reads. */
  readonly liveSegments: readonly number[];
  /** Whether the reader of this row will not come by: a lane may be far behind the others, with all its events unplanned. */
  readonly isPassed: (row: UncoveredRow) => boolean;
  /**
   * A sequence was found set back, and has handed out positions up to here a second time: their rows count, although
   * plans of earlier events name them.
   */
  readonly reusedUpTo?: number;
}

/** As much is looked into again at once; the rest is found the next time. */
const ROWS_AT_MOST = 10_000;
const ROWS_A_PAGE = 5_000;

/** Looks through all leaves for rows that no plan names. See `takeCensus` for what it costs, and for pausing. */
export async function* findUncovered(
  session: Session,
  { cursor, liveSegments, isPassed, reusedUpTo }: FindOptions,
): AsyncGenerator<CensusProgress, Uncovered> {
  const leaves = SEGMENTS.map((segment) =>
    liveSegments.includes(segment) ? { segment, upTo: cursor } : { segment },
  );
  const census = yield* takeCensus(session, { leaves, rowsOnly: true });
  const rows: UncoveredRow[] = [];
  for (const leaf of candidatesOf(census, reusedUpTo)) {
    for await (const page of rowsAt(session, leaf)) {
      rows.push(...page.filter(isPassed));
      yield { reading: 'outbox', rows: page.length };
      if (rows.length >= ROWS_AT_MOST) break;
    }
  }
  return { rows: await apart(session, rows.slice(0, ROWS_AT_MOST)), seen: census.seen };
}

/** What a census of old leaves found: their readers have all come by. */
export async function uncoveredOf(session: Session, census: Census): Promise<Uncovered> {
  const rows: UncoveredRow[] = [];
  for (const leaf of candidatesOf(census)) {
    for await (const page of rowsAt(session, leaf)) {
      rows.push(...page);
      if (rows.length >= ROWS_AT_MOST) break;
    }
  }
  return { rows: await apart(session, rows.slice(0, ROWS_AT_MOST)), seen: new Map(census.seen) };
}

function candidatesOf({ leaves }: Census, reusedUpTo = Number.NEGATIVE_INFINITY): LeafRanges[] {
  const above = [Math.max(reusedUpTo, Number.MIN_SAFE_INTEGER) + 1, Number.MAX_SAFE_INTEGER];
  return leaves.map(({ segment, uncovered, reused }) => ({
    segment,
    ranges: unionOf([uncovered.ranges(), differenceOf(reused.ranges(), above)]),
  }));
}

/** The rows of a leaf in some ranges, in position order. */
async function* rowsAt(
  session: Session,
  { segment, ranges }: LeafRanges,
): AsyncGenerator<UncoveredRow[], void> {
  for (let left = ranges; left.length > 0; ) {
    const some = left.slice(0, 2 * ROWS_A_PAGE);
    const rows = await session.query({
      name: `postcommit_rows_at_${segment}`,
      text: `select o.position, o.subject from unnest($1::int8[], $2::int8[]) range(low, high)
              cross join lateral (select position, subject from postcommit.outbox_${segment}
                                   where position between range.low and range.high order by position
                                   limit ${ROWS_A_PAGE}) o
              order by 1 limit ${ROWS_A_PAGE}`,
      values: [some.filter((_, i) => i % 2 === 0), some.filter((_, i) => i % 2 === 1)],
    });
    if (rows.length > 0)
      yield rows.map(([position, subject]) => ({
        position: Number(position),
        segment,
        subject: subject as string,
      }));
    const last = rows.length < ROWS_A_PAGE ? some.at(-1) : Number(rows.at(-1)?.[0]);
    left = differenceOf(left, [Number.MIN_SAFE_INTEGER, last ?? Number.MAX_SAFE_INTEGER]);
  }
}

/** Those that share no position with a row in another leaf: no read could tell the two apart. */
async function apart(session: Session, rows: readonly UncoveredRow[]): Promise<readonly UncoveredRow[]> {
  if (rows.length === 0) return rows;
  const shared = await session.query({
    name: 'postcommit_shared_positions',
    text: `select position from postcommit.outbox where position = any($1::int8[])
            group by position having count(*) > 1`,
    values: [rows.map(({ position }) => position)],
  });
  const positions = new Set(shared.map(([position]) => Number(position)));
  return rows.filter(({ position }) => !positions.has(position));
}

/** What of it no plan has named since. What is accepted and not planned yet is for the caller to leave out. */
export async function confirmUncovered(session: Session, { rows, seen }: Uncovered): Promise<Uncovered> {
  const named: PositionRanges[] = [];
  const now = new Map(seen);
  for (const { stream, batch } of await lastRows(session)) {
    const [row] = await session.query({
      name: 'postcommit_named_since',
      text: `select coalesce(range_agg(positions), '{}') + coalesce(range_agg(parked), '{}')
               from postcommit.batches where stream = $1 and batch > $2`,
      values: [stream, seen.get(stream) ?? 0],
    });
    named.push(parseMultirange(row?.[0] ?? '{}'));
    now.set(stream, batch);
  }
  return leaveOut({ rows, seen: now }, unionOf(named));
}

/** The same without some positions. */
export function leaveOut({ rows, seen }: Uncovered, positions: PositionRanges): Uncovered {
  return { rows: rows.filter(({ position }) => !includes(positions, position)), seen };
}

/** Their positions, leaf by leaf. */
export function byLeaf(rows: readonly UncoveredRow[]): LeafRanges[] {
  return [...new Set(rows.map(({ segment }) => segment))].map((segment) => ({
    segment,
    ranges: positionsIn(rows.filter((row) => row.segment === segment)),
  }));
}

export function positionsIn(rows: readonly UncoveredRow[]): number[] {
  return rangesOf([...new Set(rows.map(({ position }) => position))].sort((a, b) => a - b));
}
