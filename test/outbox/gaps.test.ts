import { describe, expect, test } from 'vitest';
import { createGaps, type Gaps } from '../../src/outbox/gaps.ts';
import type { Holders } from '../../src/outbox/holders.ts';

/** `T1` is a transaction with an id, `-T2` one that has none yet. */
function holders(...names: string[]): Holders {
  return new Map(
    names.map((name) => {
      const id = name.replace('-', '');
      return [id, { id, xid: name.startsWith('-') ? null : BigInt(id.slice(1)) }];
    }),
  );
}

const ALL = { everything: false, atMost: Number.POSITIVE_INFINITY };

/** A read that is not cut off; returns what it had to look into. */
function read(gaps: Gaps, found: readonly number[] = [], upTo = Number.POSITIVE_INFINITY) {
  const look = gaps.lookInto(ALL);
  gaps.looked(look, upTo, found);
  return look.ranges;
}

describe('C1: a gap is closed by the first whole look after its first holders have ended, and by no other', () => {
  test('not before it was listed', () => {
    const gaps = createGaps();
    gaps.add([5, 7]);
    read(gaps);
    expect([gaps.count, gaps.lowest, gaps.unlisted]).toEqual([1, 5, true]);
  });

  test('not by the listing alone: its last holder may have committed just before', () => {
    const gaps = createGaps();
    gaps.add([5, 7]);
    gaps.listed(holders());
    expect(gaps.count).toBe(1);
    expect(read(gaps, [6])).toEqual([5, 7]);
    expect(gaps.count).toBe(0);
  });

  test('not while one of the first holders is still there; later ones do not matter', () => {
    const gaps = createGaps();
    gaps.add([5, 7]);
    gaps.listed(holders('T1', 'T2'));
    read(gaps);
    gaps.listed(holders('T2', 'T3'));
    read(gaps);
    expect(gaps.count).toBe(1);
    gaps.listed(holders('T3'));
    read(gaps);
    expect(gaps.count).toBe(0);
  });

  test('only as far as the look went', () => {
    const gaps = createGaps();
    gaps.add([5, 9, 20, 25]);
    gaps.listed(holders());
    read(gaps, [6], 7);
    expect(read(gaps)).toEqual([8, 9, 20, 25]);
  });

  test('not by a look that began before the listing', () => {
    const gaps = createGaps();
    gaps.add([5, 7]);
    gaps.listed(holders('T1'));
    read(gaps);
    gaps.add([9, 9]);
    read(gaps);
    gaps.listed(holders());
    expect(gaps.count).toBe(2);
  });
});

describe('C2: every look goes into all open gaps', () => {
  test('without what was found, in order, over all cohorts', () => {
    const gaps = createGaps([2, 4]);
    gaps.listed(holders('T1'));
    gaps.add([6, 8]);
    gaps.listed(holders('T1', 'T2'));
    gaps.add([10, 10]);
    expect(read(gaps, [3, 7, 8])).toEqual([2, 4, 6, 8, 10, 10]);
    expect(read(gaps)).toEqual([2, 2, 4, 4, 6, 6, 10, 10]);
    expect([gaps.count, gaps.lowest]).toEqual([4, 2]);
  });

  test('of too many only the lowest, and says so', () => {
    const gaps = createGaps([2, 2, 4, 4, 6, 6]);
    const look = gaps.lookInto({ everything: false, atMost: 2 });
    expect([look.ranges, look.cutOff]).toEqual([[2, 2, 4, 4], true]);
    gaps.listed(holders());
    gaps.looked(look, 4, [2]);
    expect(read(gaps)).toEqual([6, 6]);
  });
});

describe('C3: a gate stays shut only over gaps that were looked into since the last of their holders left', () => {
  const wide = [1_000, 2_000] as const;

  test('wide or many gaps whose holders are all in progress are left out, with the ids to watch', () => {
    const gaps = createGaps(wide);
    gaps.listed(holders('T1', 'T2'));
    expect(read(gaps)).toEqual(wide);
    const look = gaps.lookInto(ALL);
    expect([look.ranges, [...look.gate].sort()]).toEqual([[], [1n, 2n]]);
    expect(gaps.lookInto({ ...ALL, everything: true })).toMatchObject({ ranges: wide, gate: [] });
  });

  test('only as far as the look went', () => {
    const gaps = createGaps([...wide, 3_000, 4_000]);
    gaps.listed(holders('T1'));
    expect(read(gaps, [1_500], 1_500)).toEqual([...wide, 3_000, 4_000]);
    expect(read(gaps, [1_700], 3_100)).toEqual([1_501, 2_000, 3_000, 4_000]);
    expect(read(gaps)).toEqual([3_101, 4_000]);
    expect(read(gaps)).toEqual([]);
    expect(gaps.ranges).toEqual([1_000, 1_499, 1_501, 1_699, 1_701, 2_000, 3_000, 4_000]);
  });

  test('after a holder left, neither what an earlier look reached nor the rest of it', () => {
    const gaps = createGaps(wide);
    gaps.listed(holders('T1', 'T2'));
    read(gaps, [1_500], 1_500);
    gaps.listed(holders('T2'));
    expect(read(gaps)).toEqual([1_000, 1_499, 1_501, 2_000]);
    expect(read(gaps)).toEqual([]);
  });

  test('not after a holder left, until the next look', () => {
    const gaps = createGaps(wide);
    gaps.listed(holders('T1', 'T2'));
    read(gaps);
    gaps.listed(holders('T2'));
    expect(read(gaps)).toEqual(wide);
    expect(read(gaps)).toEqual([]);
  });

  test('not after the first listing, until the next look: someone may have left before he was ever listed', () => {
    const gaps = createGaps(wide);
    read(gaps);
    gaps.listed(holders('T1'));
    expect(read(gaps)).toEqual(wide);
    expect(read(gaps)).toEqual([]);
  });

  test('not while a holder has no id to watch', () => {
    const gaps = createGaps(wide);
    gaps.listed(holders('T1', '-T2'));
    read(gaps);
    expect(read(gaps)).toEqual(wide);
    gaps.listed(holders('T1', 'T2'));
    expect(read(gaps)).toEqual([]);
  });

  test('not while nobody holds it: the next look closes it', () => {
    const gaps = createGaps(wide);
    gaps.listed(holders('T1'));
    read(gaps);
    gaps.listed(holders());
    expect(read(gaps)).toEqual(wide);
    expect(gaps.count).toBe(0);
  });

  test('few and narrow gaps are simply looked into', () => {
    const gaps = createGaps([5, 7]);
    gaps.listed(holders('T1'));
    read(gaps);
    expect(gaps.lookInto(ALL)).toMatchObject({ ranges: [5, 7], gate: [] });
  });

  test('new gaps of the same holders do not open it for the old ones', () => {
    const gaps = createGaps(wide);
    gaps.listed(holders('T1'));
    read(gaps);
    for (let from = 3_000; from < 10_000; from += 1_000) {
      gaps.add([from, from + 500]);
      gaps.listed(holders('T1'));
      expect(read(gaps)).toEqual([from, from + 500]);
    }
    gaps.listed(holders('T1'));
    expect(gaps.lookInto(ALL)).toMatchObject({ ranges: [], gate: [1n] });
    expect(gaps.lookInto({ ...ALL, everything: true }).cohorts).toHaveLength(1);
  });

  test('gaps added to a cohort that was looked into are new to it', () => {
    const gaps = createGaps(wide);
    read(gaps);
    gaps.add([3_000, 3_000]);
    gaps.listed(holders('T1'));
    expect(read(gaps)).toEqual([...wide, 3_000, 3_000]);
  });
});

describe('C4: gaps are disjoint', () => {
  test('a position in two gaps would be planned twice: better to stop', () => {
    const gaps = createGaps([5, 7]);
    gaps.listed(holders('T1'));
    gaps.add([7, 9]);
    expect(() => gaps.lookInto(ALL)).toThrow(/overlap/);
  });

  test('cohorts with the same holders become one, touching ranges too', () => {
    const gaps = createGaps();
    for (let position = 1; position <= 50; position++) {
      gaps.add([position, position]);
      gaps.listed(holders('T1'));
    }
    expect([gaps.count, gaps.lookInto(ALL).cohorts.length]).toEqual([1, 1]);
  });
});

describe('positions that were passed over', () => {
  test('are open again, but for those that are open: C4', () => {
    const gaps = createGaps();
    gaps.add([10, 20]);
    gaps.listed(holders('T1'));
    gaps.reopen([5, 12, 30, 30]);
    gaps.reopen([5, 9]);
    expect(gaps.ranges).toEqual([5, 20, 30, 30]);
    expect(gaps.lowest).toBe(5);
  });

  test('are not closed before they were listed and looked into', () => {
    const gaps = createGaps();
    gaps.reopen([5, 6]);
    gaps.add([50, 51]);
    read(gaps);
    expect(gaps.ranges).toEqual([5, 6, 50, 51]);
    gaps.listed(holders());
    expect(read(gaps, [5])).toEqual([5, 6, 50, 51]);
    expect(gaps.count).toBe(0);
  });
});

test('a look knows where it will close what it does not see', () => {
  const gaps = createGaps();
  gaps.add([5, 7, 9, 9]);
  expect(gaps.lookInto(ALL).closing).toBeNull();
  gaps.listed(holders('T1'));
  gaps.add([20, 30]);
  gaps.listed(holders('T2'));
  expect(gaps.lookInto(ALL)).toMatchObject({ ranges: [5, 7, 9, 9, 20, 30], closing: { from: 5, to: 9 } });
});
