import type { PositionRanges } from './position-ranges.ts';

/**
 * A set of positions that grows and shrinks by whole ranges: one bit a position, in blocks, so that ten million
 * positions full of holes take little more than a megabyte. Ranges without end cost nothing but what they meet.
 */
export interface PositionSet {
  /** How many positions it holds. */
  readonly size: number;
  /** Adds them, and returns those that it held before. */
  add(ranges: PositionRanges): PositionRanges;
  /** Takes them out and returns how many it held. */
  delete(ranges: PositionRanges): number;
  /** How many of these it holds. */
  count(ranges: PositionRanges): number;
  /** As sorted, disjoint ranges, the lowest first and at most so many. */
  ranges(atMost?: number): number[];
}

const BLOCK = 8_192;
const WORD = 32;
const WORDS = BLOCK / WORD;

export function createPositionSet(initial: PositionRanges = []): PositionSet {
  const blocks = new Map<number, Uint32Array>();
  let size = 0;
  const set: PositionSet = {
    get size() {
      return size;
    },
    add(ranges) {
      const held: number[] = [];
      for (const [from, to] of pairsOf(ranges)) {
        for (let block = blockOf(from); block <= blockOf(to); block++) {
          let words = blocks.get(block);
          if (words === undefined) {
            words = new Uint32Array(WORDS);
            blocks.set(block, words);
          }
          size += fill(words, within(block, from, to), { base: block * BLOCK, held });
        }
      }
      return held;
    },
    delete(ranges) {
      const before = size;
      for (const [from, to] of pairsOf(ranges)) {
        for (const [block, words] of blocksBetween(blocks, blockOf(from), blockOf(to))) {
          size -= clear(words, within(block, from, to));
          if (words.every((word) => word === 0)) blocks.delete(block);
        }
      }
      return before - size;
    },
    count(ranges) {
      let held = 0;
      for (const [from, to] of pairsOf(ranges)) {
        for (const [block, words] of blocksBetween(blocks, blockOf(from), blockOf(to)))
          held += countWithin(words, within(block, from, to));
      }
      return held;
    },
    ranges(atMost = Number.POSITIVE_INFINITY) {
      const result: number[] = [];
      for (const block of [...blocks.keys()].sort((a, b) => a - b)) {
        appendRanges(result, block * BLOCK, blocks.get(block) ?? new Uint32Array());
        if (result.length > 2 * atMost) break;
      }
      return result.slice(0, 2 * atMost);
    },
  };
  set.add(initial);
  return set;
}

/** A range's first and last bit in a block. */
interface Bits {
  readonly first: number;
  readonly last: number;
}

function blockOf(position: number): number {
  return Math.floor(position / BLOCK);
}

function within(block: number, from: number, to: number): Bits {
  const base = block * BLOCK;
  return { first: Math.max(from - base, 0), last: Math.min(to - base, BLOCK - 1) };
}

function* pairsOf(ranges: PositionRanges): Generator<[from: number, to: number]> {
  for (let i = 0; i < ranges.length; i += 2) yield [ranges[i] as number, ranges[i + 1] as number];
}

/** By the shorter way: a range may span more blocks than there are. */
function* blocksBetween(
  blocks: ReadonlyMap<number, Uint32Array>,
  first: number,
  last: number,
): Generator<[number, Uint32Array]> {
  if (last - first >= blocks.size) {
    for (const [block, words] of [...blocks]) if (block >= first && block <= last) yield [block, words];
    return;
  }
  for (let block = first; block <= last; block++) {
    const words = blocks.get(block);
    if (words !== undefined) yield [block, words];
  }
}

function fill(words: Uint32Array, bits: Bits, known: { base: number; held: number[] }): number {
  let added = 0;
  for (const [index, mask] of masksOf(bits)) {
    const word = words[index] as number;
    const old = (word & mask) >>> 0;
    if (old !== 0) appendBits(known.held, known.base + index * WORD, old);
    words[index] = word | mask;
    added += countBits(mask) - countBits(old);
  }
  return added;
}

function clear(words: Uint32Array, bits: Bits): number {
  const removed = countWithin(words, bits);
  for (const [index, mask] of masksOf(bits)) words[index] = (words[index] as number) & ~mask;
  return removed;
}

function countWithin(words: Uint32Array, bits: Bits): number {
  let count = 0;
  for (const [index, mask] of masksOf(bits)) count += countBits(((words[index] as number) & mask) >>> 0);
  return count;
}

function* masksOf({ first, last }: Bits): Generator<[index: number, mask: number]> {
  for (let index = Math.floor(first / WORD); index <= Math.floor(last / WORD); index++) {
    const low = Math.max(first - index * WORD, 0);
    const high = Math.min(last - index * WORD, WORD - 1);
    yield [index, ((0xffffffff >>> (WORD - 1 - (high - low))) << low) >>> 0];
  }
}

function appendBits(ranges: number[], base: number, word: number): void {
  for (let bit = 0; bit < WORD; bit++)
    if (((word >>> bit) & 1) === 1) appendRange(ranges, base + bit, base + bit);
}

function appendRanges(ranges: number[], base: number, words: Uint32Array): void {
  for (const [index, word] of words.entries()) {
    if (word === 0) continue;
    const start = base + index * WORD;
    if (word === 0xffffffff) appendRange(ranges, start, start + WORD - 1);
    else appendBits(ranges, start, word);
  }
}

function appendRange(ranges: number[], from: number, to: number): void {
  if (ranges.at(-1) === from - 1) ranges[ranges.length - 1] = to;
  else ranges.push(from, to);
}

function countBits(word: number): number {
  let rest = word - ((word >>> 1) & 0x55555555);
  rest = (rest & 0x33333333) + ((rest >>> 2) & 0x33333333);
  return (((rest + (rest >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}
