import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  complementOf,
  differenceOf,
  formatMultirange,
  type PositionRanges,
  parseMultirange,
  positionsOf,
  rangesOf,
  sizeOf,
  unionOf,
  without,
} from '../../src/postgres/position-ranges.ts';

const TOP = 60;
const position = fc.integer({ min: 1, max: TOP });
const someSet = fc.uniqueArray(position).map((positions) => positions.sort((a, b) => a - b));

/** What the flat ranges mean, the slow and obvious way. */
function members(ranges: PositionRanges): number[] {
  const found: number[] = [];
  for (let value = 0; value <= TOP + 1; value++) {
    for (let i = 0; i < ranges.length; i += 2) {
      if ((ranges[i] as number) <= value && value <= (ranges[i + 1] as number)) found.push(value);
    }
  }
  return found;
}

/** Sorted, disjoint, not even touching: one set has one form. */
function expectCanonical(ranges: PositionRanges): void {
  expect(ranges.length % 2).toBe(0);
  for (let i = 0; i < ranges.length; i += 2) {
    expect(ranges[i]).toBeLessThanOrEqual(ranges[i + 1] as number);
    if (i > 0) expect(ranges[i]).toBeGreaterThan((ranges[i - 1] as number) + 1);
  }
}

describe('ranges mean the same as sets', () => {
  test('made from positions, counted and listed', () => {
    fc.assert(
      fc.property(someSet, (set) => {
        const ranges = rangesOf(set);
        expectCanonical(ranges);
        expect(members(ranges)).toEqual(set);
        expect([...positionsOf(ranges)]).toEqual(set);
        expect(sizeOf(ranges)).toBe(set.length);
      }),
    );
  });

  test('the union', () => {
    fc.assert(
      fc.property(fc.array(someSet, { maxLength: 4 }), (sets) => {
        const union = unionOf(sets.map(rangesOf));
        expectCanonical(union);
        expect(members(union)).toEqual([...new Set(sets.flat())].sort((a, b) => a - b));
      }),
    );
  });

  test('the union of ranges that overlap, in any order', () => {
    const pair = fc.tuple(position, fc.nat(9)).map(([from, length]) => [from, Math.min(TOP, from + length)]);
    fc.assert(
      fc.property(fc.array(pair), (pairs) => {
        const union = unionOf(pairs);
        expectCanonical(union);
        expect(members(union)).toEqual([...new Set(pairs.flatMap(members))].sort((a, b) => a - b));
      }),
    );
  });

  test('the complement, from any bound to any other', () => {
    fc.assert(
      fc.property(someSet, position, position, (set, from, to) => {
        const complement = complementOf(rangesOf(set), from, to);
        expectCanonical(complement);
        const naive = Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);
        expect(members(complement)).toEqual(naive.filter((value) => !set.includes(value)));
      }),
    );
  });

  test('taking positions out, whether they lie in the set or not', () => {
    fc.assert(
      fc.property(someSet, someSet, (set, positions) => {
        const ranges = rangesOf(set);
        const { rest, taken } = without(ranges, positions);
        expectCanonical(rest);
        expect(members(rest)).toEqual(set.filter((value) => !positions.includes(value)));
        expect(taken).toEqual(positions.filter((value) => set.includes(value)));
        expect(members(ranges)).toEqual(set);
      }),
    );
  });

  test('the difference of two sets', () => {
    fc.assert(
      fc.property(someSet, someSet, (one, other) => {
        const rest = differenceOf(rangesOf(one), rangesOf(other));
        expect(members(rest)).toEqual(one.filter((value) => !other.includes(value)));
      }),
    );
  });

  test('PostgreSQL text, there and back', () => {
    fc.assert(
      fc.property(someSet, (set) => {
        expect(parseMultirange(formatMultirange(rangesOf(set)))).toEqual(rangesOf(set));
      }),
    );
    expect(formatMultirange([1, 4, 7, 7])).toBe('{[1,5),[7,8)}');
    expect(parseMultirange('{[1,5),[9007199254740990,9007199254740991)}')).toEqual([
      1, 4, 9007199254740990, 9007199254740990,
    ]);
    expect(parseMultirange('{}')).toEqual([]);
  });
});
