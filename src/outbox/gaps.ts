import {
  differenceOf,
  includes,
  type PositionRanges,
  sizeOf,
  splitAt,
  unionOf,
  without,
} from '../postgres/position-ranges.ts';
import type { Holder, Holders } from './holders.ts';

/**
 * The positions at or below the cursor that no read has seen yet: their transactions are open, or rolled back.
 *
 * Gaps live in cohorts: all gaps seen between two listings of the lock's holders have the same first holders.
 *   C1  A gap is closed only by a read that began after a listing returned without any of its first holders, that
 *       searched every leaf for it, and that no limit cut off below its upper end. What that read does not see will
 *       never be.
 *   C2  Every read looks into all open gaps in the same statement as the new rows, except into gated ones.
 *   C3  A gap may be gated while the read's own snapshot shows all its holders in progress, and only if a read has
 *       looked into it since the last departure from its holders.
 *   C4  Gaps are disjoint.
 * Cohorts with the same holders are merged, so that work per read depends on the holders, not on the gaps; but what is
 * still to be looked into stays apart from what need not be, or new gaps would open the gates of all.
 */
export interface Gaps {
  /** A read passed these positions without seeing them. */
  add(ranges: PositionRanges): void;
  /**
   * Positions that were passed over although rows are there: open again, but for those that are. They were closed, or
   * never were a gap.
   */
  reopen(ranges: PositionRanges): void;
  /** Every open position. */
  readonly ranges: PositionRanges;
  /** True if some gap has never been listed. */
  readonly unlisted: boolean;
  /** A listing, begun after every gap so far was seen, returned. */
  listed(holders: Holders): void;
  /**
   * What the next read has to look into. `everything` also opens the gates. More than `atMost` ranges are cut off:
   * the read then takes the lowest ones only, and nothing beyond the cursor.
   */
  lookInto(options: { everything: boolean; atMost: number }): GapLook;
  /** A read looked into `look`, as far as `upTo`, and found these positions (sorted). */
  looked(look: GapLook, upTo: number, found: readonly number[]): void;
  /** The position may still turn up. */
  has(position: number): boolean;
  /** The same gaps, to be gone on with by another reader from here. */
  fork(): Gaps;
  /** Ranges open. */
  readonly count: number;
  /** The lowest open position. */
  readonly lowest: number | undefined;
}

export interface GapLook {
  /** Sorted ranges to look into. */
  readonly ranges: PositionRanges;
  /** There are more gaps above these. */
  readonly cutOff: boolean;
  /** Where the look will close what it does not see; null if it closes nothing. */
  readonly closing: { readonly from: number; readonly to: number } | null;
  /** Transactions whose gaps are left out: the read is void if one of them has ended in its snapshot. */
  readonly gate: readonly bigint[];
  readonly cohorts: readonly Cohort[];
}

interface Cohort {
  ranges: number[];
  /** Null until the first listing. Empty: the next read that looks into the cohort closes it. */
  holders: Map<string, Holder> | null;
  /** A read has looked into all of it since the last departure from its holders. */
  looked: boolean;
}

/** Below this, looking is cheaper than the second read that an opening gate costs. */
const GATE_FROM_RANGES = 20;
const GATE_FROM_POSITIONS = 200;

export function createGaps(initial: PositionRanges = []): Gaps {
  return gapsOf(initial.length === 0 ? [] : [{ ranges: [...initial], holders: null, looked: false }]);
}

function gapsOf(initial: Cohort[]): Gaps {
  let cohorts = initial;
  return {
    add(ranges) {
      if (ranges.length === 0) return;
      const fresh = cohorts.find((cohort) => cohort.holders === null);
      if (fresh === undefined) cohorts.push({ ranges: [...ranges], holders: null, looked: false });
      else append(fresh.ranges, ranges);
    },
    reopen(ranges) {
      const closed = differenceOf(ranges, unionOfDisjoint(cohorts)); // C4
      // A cohort of its own, without holders: whoever may be filling it in is listed before it is closed.
      if (closed.length > 0) cohorts.push({ ranges: closed, holders: null, looked: false });
    },
    get ranges() {
      return unionOfDisjoint(cohorts);
    },
    get unlisted() {
      return cohorts.some((cohort) => cohort.holders === null);
    },
    listed(holders) {
      for (const cohort of cohorts) updateHolders(cohort, holders);
      cohorts = mergeAlike(cohorts);
    },
    lookInto({ everything, atMost }) {
      const gated = everything ? [] : cohorts.filter(mayBeGated);
      const open = cohorts.filter((cohort) => !gated.includes(cohort));
      const ranges = open.length === 1 ? (open[0]?.ranges ?? []) : unionOfDisjoint(open);
      const cutOff = ranges.length / 2 > atMost;
      return {
        ranges: cutOff ? ranges.slice(0, 2 * atMost) : ranges,
        cutOff,
        closing: extentOf(open.filter(isClosing)),
        gate: [...new Set(gated.flatMap(transactionsOf))],
        cohorts: open,
      };
    },
    looked({ cohorts: seen }, upTo, found) {
      if ((found.at(-1) ?? upTo) > upTo) throw new Error('a look found what lies beyond it'); // C4: it would stay open.
      cohorts = cohorts
        .flatMap((cohort) => (seen.includes(cohort) ? lookedInto(cohort, upTo, found) : [cohort]))
        .filter(({ ranges }) => ranges.length > 0);
    },
    has: (position) => cohorts.some(({ ranges }) => includes(ranges, position)),
    fork: () => gapsOf(cohorts.map(copyOf)),
    get count() {
      return cohorts.reduce((sum, cohort) => sum + cohort.ranges.length / 2, 0);
    },
    get lowest() {
      return cohorts.reduce<number | undefined>((low, { ranges: [first] }) => {
        return first === undefined || (low !== undefined && low < first) ? low : first;
      }, undefined);
    },
  };
}

/** New gaps lie above all older ones: they are found beyond the cursor. */
function append(ranges: number[], above: PositionRanges): void {
  for (let i = 0; i < above.length; i += 2) {
    const from = above[i] as number;
    const to = above[i + 1] as number;
    if (ranges.at(-1) === from - 1) ranges[ranges.length - 1] = to;
    else ranges.push(from, to);
  }
}

function updateHolders(cohort: Cohort, listing: Holders): void {
  if (cohort.holders === null) {
    cohort.holders = new Map(listing);
    cohort.looked = false; // C3: who left between the last look and this first listing is not in it.
    return;
  }
  for (const id of cohort.holders.keys()) {
    const still = listing.get(id);
    if (still !== undefined) cohort.holders.set(id, still);
    else {
      cohort.holders.delete(id);
      cohort.looked = false; // C3
    }
  }
}

/** But for those whose gate must not be shut yet (C3): of many gaps, only the new ones are looked into. */
function mergeAlike(cohorts: readonly Cohort[]): Cohort[] {
  const groups = new Map<string, Cohort[]>();
  for (const cohort of cohorts) {
    const { holders, looked } = cohort;
    const key = [...(holders?.keys() ?? [])].sort().join(' ');
    const group = groups.get(`${looked} ${key}`);
    if (group === undefined) groups.set(`${looked} ${key}`, [cohort]);
    else group.push(cohort);
  }
  return [...groups.values()].map((group) => {
    const [first] = group;
    if (first === undefined || group.length === 1) return first as Cohort;
    return { ...first, ranges: unionOfDisjoint(group) };
  });
}

/** C4: an overlap would plan an event twice, and nothing further down would refuse it. */
function unionOfDisjoint(cohorts: readonly Cohort[]): number[] {
  const sets = cohorts.map(({ ranges }) => ranges).sort(([a = 0], [b = 0]) => a - b);
  const union = unionOf(sets);
  const apart = sets.every(([from = 0], i) => i === 0 || from > (sets[i - 1]?.at(-1) ?? 0));
  if (!apart && sizeOf(union) !== sets.reduce((total, set) => total + sizeOf(set), 0))
    throw new Error('gaps overlap: a position would be planned twice');
  return union;
}

function mayBeGated({ ranges, holders, looked }: Cohort): boolean {
  if (!looked || holders === null || holders.size === 0) return false;
  if (ranges.length / 2 < GATE_FROM_RANGES && sizeOf(ranges) < GATE_FROM_POSITIONS) return false;
  return [...holders.values()].every((holder) => holder.xid !== null);
}

function transactionsOf({ holders }: Cohort): bigint[] {
  return [...(holders?.values() ?? [])].flatMap(({ xid }) => (xid === null ? [] : [xid]));
}

function isClosing({ holders }: Cohort): boolean {
  return holders !== null && holders.size === 0;
}

function extentOf(cohorts: readonly Cohort[]): { from: number; to: number } | null {
  const edges = cohorts.flatMap(({ ranges: [from], ranges }) =>
    from === undefined ? [] : [from, ranges.at(-1) ?? from],
  );
  return edges.length === 0 ? null : { from: Math.min(...edges), to: Math.max(...edges) };
}

/** What is left of a cohort; the part that the look did not reach is one of its own, which is still to be looked into. */
function lookedInto(cohort: Cohort, upTo: number, found: readonly number[]): Cohort[] {
  const { reached, beyond } = splitAt(cohort.ranges, upTo);
  const rest = copyOf({ ...cohort, ranges: beyond, looked: false });
  if (isClosing(cohort)) return [rest]; // C1
  return [{ ...cohort, ranges: without(reached, found).rest, looked: true }, rest];
}

function copyOf({ ranges, holders, looked }: Cohort): Cohort {
  return { ranges: [...ranges], holders: holders === null ? null : new Map(holders), looked };
}
