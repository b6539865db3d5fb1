import type { PositionRanges } from '../postgres/position-ranges.ts';

/**
 * Gaps as a read looks into them: it walks one range of each leaf's index for a span, so gaps that lie closely together share
 * one. Which positions of a shared span are gaps is told by a bit for each.
 */
export interface GapSpans {
  /** Sorted and disjoint. */
  readonly low: readonly number[];
  readonly high: readonly number[];
  /** The position that the first of all bits would stand for; null: the whole span is gap. */
  readonly origin: readonly (number | null)[];
  /** As PostgreSQL's `get_bit` counts: from the lowest bit of the first byte. Null if no span is shared. */
  readonly bits: Buffer | null;
}

/** Walking over so many rows that are in no gap costs as much as starting on a span. Measured: 0.15 us a row. */
const ROWS_A_SPAN = 5;
/** The same for each leaf that is searched: 0.5 us. */
const ROWS_A_LEAF = 3;
/** A wider gap pays for its own way, and would take a bit for each of its positions. */
const WIDE = 64;

/** Of sorted, disjoint ranges, to be searched in so many leaves. */
export function spansOf(gaps: PositionRanges, leaves: number): GapSpans {
  const near = ROWS_A_SPAN + ROWS_A_LEAF * leaves;
  const low: number[] = [];
  const high: number[] = [];
  const origin: (number | null)[] = [];
  let bitCount = 0;
  for (let i = 0; i < gaps.length; ) {
    const end = endOfSpan(gaps, i, near);
    const [from, to] = [gaps[i] as number, gaps[end - 1] as number];
    low.push(from);
    high.push(to);
    const shared = end > i + 2;
    origin.push(shared ? from - bitCount : null);
    if (shared) bitCount += to - from + 1;
    i = end;
  }
  return { low, high, origin, bits: bitCount === 0 ? null : bitsOf(gaps, { high, origin, bitCount }) };
}

/** Where in the flat ranges the span that begins at `start` is over. */
function endOfSpan(gaps: PositionRanges, start: number, near: number): number {
  let end = start + 2;
  if (isWide(gaps, start)) return end;
  for (; end < gaps.length && !isWide(gaps, end); end += 2)
    if ((gaps[end] as number) - (gaps[end - 1] as number) > near) break;
  return end;
}

function isWide(gaps: PositionRanges, i: number): boolean {
  return (gaps[i + 1] as number) - (gaps[i] as number) >= WIDE;
}

function bitsOf(
  gaps: PositionRanges,
  { high, origin, bitCount }: { high: readonly number[]; origin: GapSpans['origin']; bitCount: number },
): Buffer {
  const bits = Buffer.alloc(Math.ceil(bitCount / 8));
  let span = 0;
  for (let i = 0; i < gaps.length; i += 2) {
    const [from, to] = [gaps[i] as number, gaps[i + 1] as number];
    while ((high[span] as number) < from) span++;
    const first = origin[span];
    if (first === null || first === undefined) continue;
    for (let bit = from - first; bit <= to - first; bit++)
      bits[bit >>> 3] = (bits[bit >>> 3] as number) | (1 << (bit & 7));
  }
  return bits;
}
