import { lastRows } from '../batch-log/recover.ts';
import {
  differenceOf,
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
 * `confirmUncovered`, while nothing is, tells these apart.
 */
export interface Uncovered {
  readonly leaves: readonly LeafRanges[];
  /** How far each stream's log was compared with them. */
  readonly seen: ReadonlyMap<string, number>;
}

export interface FindOptions {
  /** The highest cursor of all readers: what lies above is not read yet. */
  readonly cursor: number;
  /** Leaves that every reader reads; in the others rows above the cursor are passed over too. */
  readonly liveSegments: readonly number[];
  /**
   * A sequence was found set back, and has handed out positions up to here a second time: their rows count, although
   * plans of earlier events name them.
   */
  readonly reusedUpTo?: number;
}

/** As much is looked into again at once; the rest is found the next time. */
const RANGES_A_LEAF = 10_000;

/** Looks through all leaves for rows that no plan names. See `takeCensus` for what it costs, and for pausing. */
export async function* findUncovered(
  session: Session,
  { cursor, liveSegments, reusedUpTo = Number.NEGATIVE_INFINITY }: FindOptions,
): AsyncGenerator<CensusProgress, Uncovered> {
  const leaves = SEGMENTS.map((segment) =>
    liveSegments.includes(segment) ? { segment, upTo: cursor } : { segment },
  );
  return uncoveredOf(session, yield* takeCensus(session, { leaves, rowsOnly: true }), reusedUpTo);
}

/** What a census found, without rows that share a position: no read could tell them apart. */
export async function uncoveredOf(
  session: Session,
  { leaves, seen }: Census,
  reusedUpTo = Number.NEGATIVE_INFINITY,
): Promise<Uncovered> {
  const above = [Math.max(reusedUpTo, Number.MIN_SAFE_INTEGER) + 1, Number.MAX_SAFE_INTEGER];
  const found = leaves.map(({ segment, uncovered, reused }) => ({
    segment,
    ranges: unionOf([uncovered.ranges(RANGES_A_LEAF), differenceOf(reused.ranges(RANGES_A_LEAF), above)]),
  }));
  const shared = await sharedPositions(session, unionOf(found.map(({ ranges }) => ranges)));
  const apart = found.map(({ segment, ranges }) => ({ segment, ranges: differenceOf(ranges, shared) }));
  return { leaves: apart.filter(({ ranges }) => ranges.length > 0), seen };
}

/** Those of some positions that rows of two leaves have. */
async function sharedPositions(session: Session, ranges: PositionRanges): Promise<PositionRanges> {
  if (ranges.length === 0) return [];
  const rows = await session.query({
    name: 'postcommit_shared_positions',
    text: `select o.position from unnest($1::int8[], $2::int8[]) found(low, high)
            cross join lateral (select position from postcommit.outbox
                                 where position between found.low and found.high) o
            group by o.position having count(*) > 1 order by 1`,
    values: [ranges.filter((_, i) => i % 2 === 0), ranges.filter((_, i) => i % 2 === 1)],
  });
  return rangesOf(rows.map(([position]) => Number(position)));
}

/** What of it no plan has named since. What is accepted and not planned yet is for the caller to leave out. */
export async function confirmUncovered(session: Session, { leaves, seen }: Uncovered): Promise<Uncovered> {
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
  return leaveOut({ leaves, seen: now }, unionOf(named));
}

/** All positions in it, whatever leaf they lie in. */
export function positionsIn({ leaves }: Uncovered): PositionRanges {
  return unionOf(leaves.map(({ ranges }) => ranges));
}

/** The same without some positions. */
export function leaveOut({ leaves, seen }: Uncovered, positions: PositionRanges): Uncovered {
  const left = leaves.map(({ segment, ranges }) => ({ segment, ranges: differenceOf(ranges, positions) }));
  return { leaves: left.filter(({ ranges }) => ranges.length > 0), seen };
}
