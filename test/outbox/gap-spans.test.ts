import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type GapSpans, spansOf } from '../../src/outbox/gap-spans.ts';
import { positionsOf, rangesOf, sizeOf } from '../../src/postgres/position-ranges.ts';

/** What a read would find in them if there were a row at every position. */
function gapsIn({ low, high, origin, bits }: GapSpans): number[] {
  return low.flatMap((from, i) => {
    const first = origin[i] ?? null;
    return [...positionsOf([from, high[i] as number])].filter((position) => {
      if (first === null) return true;
      const bit = position - first;
      return (((bits?.[bit >>> 3] as number) >>> (bit & 7)) & 1) === 1;
    });
  });
}

const position = fc.oneof(
  fc.integer({ min: -50, max: 1_000 }),
  fc.integer({ min: 2 ** 40, max: 2 ** 40 + 300 }),
);
const gap = fc.tuple(position, fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.nat(20), fc.nat(200)));

test('spans hold all gaps and nothing else, and do not overlap', () => {
  fc.assert(
    fc.property(
      fc.array(gap, { maxLength: 120, size: 'max' }),
      fc.integer({ min: 1, max: 8 }),
      (gaps, leaves) => {
        const positions = new Set(gaps.flatMap(([from, width]) => [...positionsOf([from, from + width])]));
        const ranges = rangesOf([...positions].sort((a, b) => a - b));
        const spans = spansOf(ranges, leaves);
        expect(rangesOf(gapsIn(spans))).toEqual(ranges);
        for (let i = 1; i < spans.low.length; i++)
          expect(spans.low[i]).toBeGreaterThan(spans.high[i - 1] as number);
      },
    ),
  );
});

test('every second position is one span, with a bit for each', () => {
  const ranges = rangesOf(Array.from({ length: 100_000 }, (_, i) => 2 * i + 1));
  const { low, high, origin, bits } = spansOf(ranges, 1);
  expect([low, high, origin, bits?.length]).toEqual([[1], [199_999], [1], 25_000]);
});

test('a wide gap stands alone and takes no bits', () => {
  const wide = [10, 1_000_000];
  expect(spansOf([3, 3, ...wide, 1_000_002, 1_000_002], 8)).toEqual({
    low: [3, 10, 1_000_002],
    high: [3, 1_000_000, 1_000_002],
    origin: [null, null, null],
    bits: null,
  });
  expect(sizeOf(wide)).toBe(999_991);
});

test('gaps far apart are not walked between, unless many leaves make that the shorter way', () => {
  const ranges = [1, 1, 21, 21, 41, 41];
  expect(spansOf(ranges, 1).low).toEqual([1, 21, 41]);
  expect(spansOf(ranges, 8).low).toEqual([1]);
});
