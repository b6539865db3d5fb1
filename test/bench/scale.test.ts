import fc from 'fast-check';
import { expect, test } from 'vitest';
import { scaleOf } from '../../bench/report/svg/scale.ts';

const labels = (...given: Parameters<typeof scaleOf>) => scaleOf(...given).ticks.map(({ label }) => label);

test.each([
  [
    [3, 97],
    ['0', '20', '40', '60', '80', '100'],
  ],
  [[90_000], ['0', '20K', '40K', '60K', '80K', '100K']],
  [
    [0.1, 0.3],
    ['0', '0.1', '0.2', '0.3'],
  ],
  [
    [-40, 60],
    ['-40', '-20', '0', '20', '40', '60'],
  ],
  [
    [0, 0],
    ['0', '0.2', '0.4', '0.6', '0.8', '1'],
  ],
  [[-5], ['-5', '-4', '-3', '-2', '-1', '0']],
  [[], ['0', '0.2', '0.4', '0.6', '0.8', '1']],
])('a linear axis of %j begins at 0 and has round ticks', (values, expected) => {
  expect(labels('linear', values)).toEqual(expected);
});

test.each([
  [
    [1.4, 190],
    ['1', '2', '5', '10', '20', '50', '100', '200'],
  ],
  [
    [10_000, 5_000_000],
    ['10K', '100K', '1M'],
  ],
  [
    [1e-3, 1e12],
    ['0.001', '1', '1K', '1M', '1B', '1T'],
  ],
  [[7], ['5', '10']],
  [[5], ['5', '10']],
  [
    [0, -3, 20],
    ['20', '50'],
  ],
  [[], ['1', '2', '5', '10']],
])('a logarithmic axis of %j', (values, expected) => {
  expect(labels('log', values)).toEqual(expected);
});

test.each([
  [[], ['0', '90', '99', '99.9', '99.99']],
  [
    [50, 99],
    ['0', '90', '99', '99.9', '99.99'],
  ],
  [
    [50, 99.99],
    ['0', '90', '99', '99.9', '99.99'],
  ],
  [[99.999], ['0', '90', '99', '99.9', '99.99', '99.999']],
  [
    [50, 100],
    ['0', '90', '99', '99.9', '99.99', 'max'],
  ],
])('percentiles of %j', (values, expected) => {
  expect(labels('percentile', values)).toEqual(expected);
});

test('each step of a percentile axis leaves a tenth of what was left', () => {
  const { at } = scaleOf('percentile', [99.99]);
  expect([0, 90, 99, 99.9, 99.99].map((value) => at(value)?.toFixed(6))).toEqual([
    '0.000000',
    '0.250000',
    '0.500000',
    '0.750000',
    '1.000000',
  ]);
  expect(at(100)).toBe(1);
});

test('what an axis cannot show has no place on it', () => {
  const unshown = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of unshown)
    for (const kind of ['linear', 'log', 'percentile'] as const)
      expect(scaleOf(kind, [1, 2, ...unshown]).at(value)).toBeUndefined();
  expect(scaleOf('log', [1, 2]).at(0)).toBeUndefined();
  expect(scaleOf('percentile', [1]).at(100.5)).toBeUndefined();
});

test.each(['linear', 'log', 'percentile'] as const)(
  'a %s axis holds its values, and few ticks in order',
  (kind) => {
    const value = {
      linear: fc.double({ min: -1e9, max: 1e9 }),
      log: fc.double({ min: 1e-9, max: 1e15 }),
      percentile: fc.double({ min: 0, max: 100 }),
    };
    fc.assert(
      fc.property(
        fc.array(
          value[kind].filter((one) => !Number.isNaN(one)),
          { maxLength: 20 },
        ),
        (values) => {
          const { at, ticks } = scaleOf(kind, values);
          for (const one of values)
            expect(at(one)).toSatisfy((place: number) => place >= -1e-9 && place <= 1 + 1e-9);
          const places = ticks.map((tick) => tick.at);
          expect(places.length).toSatisfy((count: number) => count >= 2 && count <= 12);
          for (const [i, place] of places.entries())
            expect(place).toSatisfy(
              (here: number) => here > (places[i - 1] ?? -1) && here >= -1e-9 && here <= 1 + 1e-9,
            );
        },
      ),
    );
  },
);
