import type { PositionRanges } from '../postgres/position-ranges.ts';

/**
 * Gaps as a read looks into them. A range of the index is walked for each span, so gaps that lie closely together share
 * one: walking over a row that is no gap costs a tenth of finding the way to the next gap, and much less where several
 * leaves are searched. What of a shared span is gap is told by a bit for each position.
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

/** A gap this near to the one before shares its span. */
const NEAR = 8;
/** A wider gap pays for its own way, and would take a bit for each of its positions. */
const WIDE = 64;

/** Of sorted, disjoint ranges. */
export function spansOf(gaps: PositionRanges): GapSpans {
  const low: number[] = [];
  const high: number[] = [];
  const origin: (number | null)[] = [];
  let bitCount = 0;
  for (let i = 0; i < gaps.length; ) {
    const end = endOfSpan(gaps, i);
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
function endOfSpan(gaps: PositionRanges, start: number): number {
  let end = start + 2;
  if (isWide(gaps, start)) return end;
  while (end < gaps.length && (gaps[end] as number) - (gaps[end - 1] as number) <= NEAR && !isWide(gaps, end))
    end += 2;
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
