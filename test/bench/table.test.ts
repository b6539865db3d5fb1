import { expect, test } from 'vitest';
import { isMet, resultOf, type Target } from '../../bench/report/result.ts';
import { figure, tableOf } from '../../bench/report/table.ts';

test.each<[string, Target | undefined, boolean | undefined]>([
  ['nothing asked', undefined, undefined],
  ['least, of the ratio', { at: 'least', value: 2 }, true],
  ['least, more than there is', { at: 'least', value: 2.01 }, false],
  ['most, of the ratio', { at: 'most', value: 2 }, true],
  ['most, less than there is', { at: 'most', value: 1.99 }, false],
])('%s', (_, target, expected) => {
  const against = { name: 'other', values: [5] };
  expect(isMet(resultOf({ name: 'a', unit: 'x/s', values: [10], against, ...(target && { target }) }))).toBe(
    expected,
  );
});

test('without a baseline the target is of the median', () => {
  const measured = { name: 'a', unit: 'ms', values: [3, 1, 20] };
  expect(isMet(resultOf({ ...measured, target: { at: 'most', value: 3 } }))).toBe(true);
  expect(isMet(resultOf({ ...measured, target: { at: 'most', value: 2.9 } }))).toBe(false);
});

test('what could not be measured meets no target', () => {
  const measured = { name: 'a', unit: 'ms', values: [Number.NaN] };
  expect(isMet(resultOf({ ...measured, target: { at: 'most', value: 3 } }))).toBe(false);
  expect(isMet(resultOf({ ...measured, target: { at: 'least', value: 3 } }))).toBe(false);
});

test.each([
  [0, '0.00'],
  [9.304, '9.30'],
  [99.96, '100'],
  [90_009.4, '90,009'],
  [-1_234, '-1,234'],
  [Number.NaN, 'none'],
  [Number.POSITIVE_INFINITY, 'none'],
])('%d is printed as %s', (value, text) => {
  expect(figure(value)).toBe(text);
});

test('the table has a line for each result, with what was asked and what came of it', () => {
  const against = { name: 'stock', values: [30, 50] };
  const results = [
    resultOf({
      name: 'drain',
      unit: 'events/s',
      values: [90_000, 80_000],
      against,
      target: { at: 'least', value: 2 },
    }),
    resultOf({
      name: 'cpu',
      unit: 'us',
      values: [15],
      faults: [{ lost: 1, twice: 2, disorder: 3 }],
      target: { at: 'most', value: 12 },
    }),
  ];
  const [head, rule, drain, cpu, ...rest] = tableOf({ results }).split('\n');
  expect(head).toMatch(/^measured +median +spread/);
  expect(rule).toMatch(/^[- ]+$/);
  expect(drain).toMatch(/^drain +85,000 events\/s +80,000 \.\. 90,000 +stock +2125\.00 x +≥ 2 x: met$/);
  expect(cpu).toMatch(/^cpu +15\.0 us +15\.0 \.\. 15\.0 +≤ 12: MISSED +1 +2 +3$/);
  expect(rest).toEqual(['']);
});

test('without results it is a head alone', () => {
  expect(tableOf({ results: [] }).split('\n')).toHaveLength(3);
});
