import { newestRows } from '../batch-log/newest.ts';
import {
  differenceOf,
  type PositionRanges,
  parseMultirange,
  sizeOf,
  unionOf,
} from '../postgres/position-ranges.ts';
import { createPositionSet } from '../postgres/position-set.ts';
import type { Session } from '../postgres/session.ts';
import { type Census, type CensusProgress, type LeafCensus, takeCensus } from './census.ts';
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
  return uncoveredOf(yield* takeCensus(session, { leaves, rowsOnly: true }), reusedUpTo);
}

/** What a census found, without rows that share a position: no read could tell them apart. */
export function uncoveredOf(
  { leaves, shared, seen }: Census,
  reusedUpTo = Number.NEGATIVE_INFINITY,
): Uncovered {
  const rangesIn = ({ uncovered, reused }: LeafCensus) => {
    const young = createPositionSet(reused.ranges(RANGES_A_LEAF));
    young.delete([Math.max(reusedUpTo, Number.MIN_SAFE_INTEGER) + 1, Number.MAX_SAFE_INTEGER]);
    return differenceOf(unionOf([uncovered.ranges(RANGES_A_LEAF), young.ranges()]), shared);
  };
  const found = leaves.map((leaf) => ({ segment: leaf.segment, ranges: rangesIn(leaf) }));
  return { leaves: found.filter(({ ranges }) => ranges.length > 0), seen };
}

/** What of it no plan has named since. To be asked while nothing is accepted and not planned. */
export async function confirmUncovered(session: Session, { leaves, seen }: Uncovered): Promise<Uncovered> {
  const named: PositionRanges[] = [];
  const now = new Map(seen);
  for (const { stream, batch } of await newestRows(session)) {
    const [row] = await session.query({
      name: 'postcommit_named_since',
      text: `select coalesce(range_agg(positions), '{}') + coalesce(range_agg(parked), '{}')
               from postcommit.batches where stream = $1 and batch > $2`,
      values: [stream, seen.get(stream) ?? 0],
    });
    named.push(parseMultirange(row?.[0] ?? '{}'));
    now.set(stream, batch);
  }
  const since = unionOf(named);
  const left = leaves.map(({ segment, ranges }) => ({ segment, ranges: differenceOf(ranges, since) }));
  return { leaves: left.filter(({ ranges }) => ranges.length > 0), seen: now };
}

export function countUncovered({ leaves }: Uncovered): number {
  return leaves.reduce((sum, { ranges }) => sum + sizeOf(ranges), 0);
}
