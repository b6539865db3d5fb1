import { describe, expect, test } from 'vitest';
import type { Holders } from '../../src/outbox/holders.ts';
import { createLiveSegments, type LiveSegments, SEGMENTS } from '../../src/outbox/live-segments.ts';

const holders = (...ids: string[]): Holders => new Map(ids.map((id) => [id, { id, xid: null }]));

/** A listing and what capture does after it; `highest` is what each leaf's index would say. */
function list(
  segments: LiveSegments,
  ids: string[],
  { highest = {}, openFrom = 1 }: { highest?: Record<number, number>; openFrom?: number } = {},
) {
  segments.listed(holders(...ids));
  for (const segment of segments.unmeasured()) segments.measured(segment, highest[segment] ?? 0);
  segments.drop(openFrom);
  return segments.live;
}

/** Live is leaf 0 alone. */
function settled(): LiveSegments {
  const segments = createLiveSegments();
  segments.current(0);
  expect(list(segments, [])).toEqual([0]);
  return segments;
}

describe('S1: after a start every leaf is live', () => {
  test('until nobody who was there can insert any more', () => {
    const segments = createLiveSegments();
    expect(segments.live).toEqual(SEGMENTS);
    expect(list(segments, [])).toEqual(SEGMENTS);
    segments.current(3);
    expect(list(segments, ['a', 'b'])).toEqual(SEGMENTS);
    expect(list(segments, ['b', 'c'])).toEqual(SEGMENTS);
    expect(segments.retiring).toBe(true);
    expect(list(segments, ['c'])).toEqual([3]);
    expect(segments.retiring).toBe(false);
  });
});

describe('S2: a leaf is live before inserts go to it', () => {
  test('and stays so until a look has seen them go there, whatever is listed in between', () => {
    const segments = settled();
    segments.add(1);
    expect(segments.live).toEqual([0, 1]);
    expect(list(segments, [])).toEqual([0, 1]);
    segments.add(2); // Another switch, and still no look.
    expect(list(segments, [])).toEqual([0, 1, 2]);
    segments.current(2);
    expect(list(segments, ['a'])).toEqual([0, 1, 2]);
    expect(list(segments, [])).toEqual([2]);
  });

  test('also when it is made live again while its end is being looked up', () => {
    const segments = settled();
    segments.add(1);
    segments.current(1);
    segments.listed(holders());
    expect(segments.unmeasured()).toEqual([0]);
    segments.add(0);
    segments.measured(0, 0);
    segments.drop(1);
    expect(segments.live).toEqual([0, 1]);
  });
});

describe('S3: a leaf leaves when nobody can add to it and everything in it was read', () => {
  test('holders listed before inserts went elsewhere prove nothing', () => {
    const segments = settled();
    segments.add(1);
    list(segments, ['a']);
    segments.current(1);
    expect(list(segments, ['b'])).toEqual([0, 1]);
    expect(list(segments, ['b'])).toEqual([0, 1]);
    expect(list(segments, [])).toEqual([1]);
  });

  test('not while a position in it may lie at or above the lowest open one', () => {
    const segments = settled();
    segments.add(1);
    segments.current(1);
    const highest = { 0: 70 };
    expect(list(segments, [], { highest, openFrom: 70 })).toEqual([0, 1]);
    expect(list(segments, [], { openFrom: 70 })).toEqual([0, 1]);
    expect(list(segments, [], { openFrom: 71 })).toEqual([1]);
  });

  test('inserts that come back make it new', () => {
    const segments = settled();
    segments.add(1);
    segments.current(1);
    list(segments, ['a']);
    segments.current(0);
    expect(list(segments, ['a', 'b'])).toEqual([0, 1]);
    segments.current(1);
    expect(list(segments, ['b'])).toEqual([0, 1]);
    expect(list(segments, ['c'])).toEqual([1]);
  });

  test('the leaf in use never leaves', () => {
    const segments = settled();
    for (let i = 0; i < 3; i++) expect(list(segments, [], { openFrom: 1_000 })).toEqual([0]);
  });
});

describe('a leaf that was left comes back when a row turns up in it', () => {
  test('and is left again when that was read', () => {
    const segments = settled();
    segments.revive(5);
    expect(segments.live).toEqual([0, 5]);
    expect(list(segments, ['a'], { highest: { 5: 70 }, openFrom: 70 })).toEqual([0, 5]);
    expect(list(segments, [], { highest: { 5: 70 }, openFrom: 70 })).toEqual([0, 5]);
    expect(list(segments, [], { openFrom: 71 })).toEqual([0]);
  });

  test('also when it was about to be left, and its end did not count that row', () => {
    const segments = settled();
    segments.add(1);
    segments.current(1);
    expect(list(segments, [], { highest: { 0: 70 }, openFrom: 60 })).toEqual([0, 1]);
    segments.revive(0);
    expect(list(segments, ['a'], { openFrom: 80 })).toEqual([0, 1]);
    expect(list(segments, [], { highest: { 0: 90 }, openFrom: 80 })).toEqual([0, 1]);
    expect(list(segments, [], { openFrom: 91 })).toEqual([1]);
  });
});
