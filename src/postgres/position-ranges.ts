/**
 * A set of positions as sorted, disjoint, inclusive ranges, laid out flat: `[from, to, from, to, ...]`.
 * Flat, because a bulk transaction among other writers leaves a hundred thousand gaps.
 */
export type PositionRanges = readonly number[];

/** PostgreSQL's text form of an int8multirange, for instance `{[1,5),[7,8)}`, whose upper bounds are exclusive. */
export function parseMultirange(text: string): number[] {
  const ranges: number[] = [];
  for (const match of text.matchAll(/\[(-?\d+),(-?\d+)\)/g))
    ranges.push(Number(match[1]), Number(match[2]) - 1);
  return ranges;
}

export function formatMultirange(ranges: PositionRanges): string {
  const parts: string[] = [];
  for (let i = 0; i < ranges.length; i += 2) parts.push(`[${at(ranges, i)},${at(ranges, i + 1) + 1})`);
  return `{${parts.join(',')}}`;
}

const RANGE_BYTES = 25;
const UPPER_EXCLUDED = 0x02;

/** The same as PostgreSQL receives it in binary, which costs it a fifth of reading the text. */
export function encodeMultirange(ranges: PositionRanges): Buffer {
  const encoded = Buffer.allocUnsafe(4 + (ranges.length / 2) * (4 + RANGE_BYTES));
  let offset = encoded.writeInt32BE(ranges.length / 2, 0);
  for (let i = 0; i < ranges.length; i += 2) {
    offset = encoded.writeInt32BE(RANGE_BYTES, offset);
    offset = encoded.writeUInt8(UPPER_EXCLUDED, offset);
    offset = writePosition(encoded, at(ranges, i), offset);
    offset = writePosition(encoded, at(ranges, i + 1) + 1, offset);
  }
  return encoded;
}

/** An int8 behind its length. */
function writePosition(encoded: Buffer, position: number, offset: number): number {
  const high = Math.floor(position / 2 ** 32);
  const behind = encoded.writeInt32BE(high, encoded.writeInt32BE(8, offset));
  return encoded.writeUInt32BE(position - high * 2 ** 32, behind);
}

/** Ranges of sorted positions. */
export function rangesOf(positions: readonly number[]): number[] {
  const ranges: number[] = [];
  for (const position of positions) {
    if (ranges.at(-1) === position - 1) ranges[ranges.length - 1] = position;
    else ranges.push(position, position);
  }
  return ranges;
}

/** The union of sets; ranges that touch become one. */
export function unionOf(sets: readonly PositionRanges[]): number[] {
  return unionFrom(sets, 0, sets.length).slice();
}

function unionFrom(sets: readonly PositionRanges[], start: number, end: number): PositionRanges {
  if (end - start < 2) return sets[start] ?? [];
  const middle = (start + end) >>> 1;
  const [one, other] = [unionFrom(sets, start, middle), unionFrom(sets, middle, end)];
  // Mostly one lies above the other, and is long.
  if (one.length > 0 && other.length > 0 && at(one, one.length - 1) + 1 < at(other, 0))
    return one.concat(other);
  return merge(one, other);
}

function merge(one: PositionRanges, other: PositionRanges): number[] {
  const union: number[] = [];
  for (let i = 0, j = 0; i < one.length || j < other.length; ) {
    const isOne = j >= other.length || (i < one.length && at(one, i) <= at(other, j));
    const [from, to] = isOne ? [at(one, i), at(one, i + 1)] : [at(other, j), at(other, j + 1)];
    if (isOne) i += 2;
    else j += 2;
    const end = union.at(-1);
    if (end !== undefined && from <= end + 1) union[union.length - 1] = Math.max(end, to);
    else union.push(from, to);
  }
  return union;
}

/** A set in two: up to a position, and what lies above it. */
export function splitAt(set: PositionRanges, position: number): { reached: number[]; beyond: number[] } {
  const i = 2 * rangesUpTo(set, position);
  const [from, to] = [set[i - 2], set[i - 1]];
  if (from === undefined || to === undefined || to <= position)
    return { reached: set.slice(0, i), beyond: set.slice(i) };
  return { reached: [...set.slice(0, i - 1), position], beyond: [position + 1, to, ...set.slice(i)] };
}

/** How many ranges begin at or below a position; by halves, since there may be a hundred thousand. */
function rangesUpTo(set: PositionRanges, position: number): number {
  let [low, high] = [0, set.length / 2];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (at(set, 2 * middle) <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What a set leaves out between `from` and `to`, both included. */
export function complementOf(set: PositionRanges, from: number, to: number): number[] {
  const rest: number[] = [];
  let next = from;
  for (let i = 0; i < set.length && next <= to; i += 2) {
    if (at(set, i + 1) < next) continue;
    if (at(set, i) > next) rest.push(next, Math.min(at(set, i) - 1, to));
    next = at(set, i + 1) + 1;
  }
  if (next <= to) rest.push(next, to);
  return rest;
}

/** What of a set lies between `from` and `to`, both included. */
export function within(set: PositionRanges, from: number, to: number): number[] {
  return complementOf(complementOf(set, from, to), from, to);
}

/** A set without some sorted positions, all of which lie in it or not: `taken` are those that did. */
export function without(
  set: PositionRanges,
  positions: readonly number[],
): { rest: number[]; taken: number[] } {
  const rest: number[] = [];
  const taken: number[] = [];
  let next = 0;
  for (let i = 0; i < set.length; i += 2) {
    let from = at(set, i);
    const to = at(set, i + 1);
    while (next < positions.length && at(positions, next) < from) next++;
    for (; next < positions.length && at(positions, next) <= to; next++) {
      const position = at(positions, next);
      taken.push(position);
      if (position > from) rest.push(from, position - 1);
      from = position + 1;
    }
    if (from <= to) rest.push(from, to);
  }
  return { rest, taken };
}

/** What of a set another one leaves. */
export function differenceOf(set: PositionRanges, taken: PositionRanges): number[] {
  const rest: number[] = [];
  let next = 0;
  for (let i = 0; i < set.length; i += 2) {
    let from = at(set, i);
    const to = at(set, i + 1);
    while (next < taken.length && at(taken, next + 1) < from) next += 2;
    for (let j = next; j < taken.length && at(taken, j) <= to; j += 2) {
      if (at(taken, j) > from) rest.push(from, at(taken, j) - 1);
      from = at(taken, j + 1) + 1;
    }
    if (from <= to) rest.push(from, to);
  }
  return rest;
}

/** Whether a set holds a position. */
export function includes(set: PositionRanges, position: number): boolean {
  const to = set[2 * rangesUpTo(set, position) - 1];
  return to !== undefined && position <= to;
}

/** How many positions a set holds. */
export function sizeOf(set: PositionRanges): number {
  let size = 0;
  for (let i = 0; i < set.length; i += 2) size += at(set, i + 1) - at(set, i) + 1;
  return size;
}

/** Every position of a set, in order. */
export function* positionsOf(set: PositionRanges): Generator<number> {
  for (let i = 0; i < set.length; i += 2) {
    for (let position = at(set, i); position <= at(set, i + 1); position++) yield position;
  }
}

/** The lowest positions of a set, at most so many. */
export function firstPositions(set: PositionRanges, atMost: number): number[] {
  const first: number[] = [];
  for (const position of positionsOf(set)) {
    if (first.length === atMost) break;
    first.push(position);
  }
  return first;
}

function at(values: readonly number[], index: number): number {
  const value = values[index];
  if (value === undefined) throw new RangeError(`no element ${index} in ${values.length}`);
  return value;
}
