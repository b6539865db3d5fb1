import { includes, type PositionRanges } from '../postgres/position-ranges.ts';
import { createPositionSet } from '../postgres/position-set.ts';
import type { Session } from '../postgres/session.ts';
import { coverageOf, lastRows } from './recover.ts';

/** How many positions one look-up speaks of. */
const WINDOW = 50_000;

/**
 * Tells which of the events that a start reads again are planned already: lanes stand at different places when the
 * relay starts, and all of them go on from the lowest.
 */
export interface Coverage {
  /** Nothing from this position on was planned before this leadership. */
  isOver(position: number | undefined): boolean;
  /** An audit has shown that rows at these positions are in no plan, even where one names an earlier event by theirs. */
  readmit(positions: PositionRanges): void;
  /** Those of these rising positions that no plan holds. */
  uncovered(positions: readonly number[]): Promise<ReadonlySet<number>>;
}

/** `watermark`: beyond it nothing was planned before this leadership. */
export function createCoverage(session: Session, watermark: number): Coverage {
  const readmitted = createPositionSet();
  let window: { from: number; to: number; covered: PositionRanges } | undefined;

  async function load(from: number) {
    const to = Math.min(watermark, from + WINDOW - 1);
    const streams = await lastRows(session);
    return { from, to, covered: await coverageOf(session, streams, { from, to, reopened: false }) };
  }
  return {
    readmit: (positions) => void readmitted.add(positions),
    isOver: (position) => position === undefined || position > watermark,
    async uncovered(positions) {
      const free = new Set<number>();
      for (const position of positions) {
        if (position > watermark || readmitted.count([position, position]) > 0) {
          free.add(position);
          continue;
        }
        if (window === undefined || position < window.from || position > window.to)
          window = await load(position);
        if (!includes(window.covered, position)) free.add(position);
      }
      return free;
    },
  };
}
