import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rangesOf } from '../../src/postgres/position-ranges.ts';
import { createPositionSet } from '../../src/postgres/position-set.ts';

/** Around the seams of words and blocks, and below zero, where a stranger's row may lie. */
const position = fc.oneof(
  fc.integer({ min: -70, max: 140 }),
  fc.integer({ min: 8_150, max: 8_230 }),
  fc.integer({ min: 10 ** 12, max: 10 ** 12 + 40 }),
);
const range = fc.tuple(position, fc.nat(120)).map(([from, width]) => [from, from + width] as const);
const step = fc.record({ kind: fc.constantFrom('add' as const, 'delete' as const), range });

test('does what a set of numbers does', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const model = new Set<number>();
      const set = createPositionSet();
      for (const { kind, range: own } of steps) {
        const [from, to] = own;
        const all = Array.from({ length: to - from + 1 }, (_, i) => from + i);
        const held = all.filter((one) => model.has(one));
        expect(set.count(own)).toBe(held.length);
        if (kind === 'add') expect(set.add(own)).toEqual(rangesOf(held));
        else expect(set.delete(own)).toBe(held.length);
        for (const one of all) model[kind](one);
        expect(set.size).toBe(model.size);
      }
      expect(set.ranges()).toEqual(rangesOf([...model].sort((a, b) => a - b)));
    }),
  );
});

describe('size of work', () => {
  test('a range without end costs what it meets', () => {
    const set = createPositionSet([5, 9, 1_000_000, 1_000_003]);
    expect(set.delete([Number.MIN_SAFE_INTEGER, 7, 9, Number.MAX_SAFE_INTEGER])).toBe(8);
    expect(set.ranges()).toEqual([8, 8]);
  });

  test('only so many ranges are named', () => {
    const set = createPositionSet([1, 1, 3, 3, 5, 5, 20_000, 20_000]);
    expect(set.ranges(2)).toEqual([1, 1, 3, 3]);
    expect(set.size).toBe(4);
  });
});
