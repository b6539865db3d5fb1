import { type PositionRanges, rangesOf, unionOf } from '../../postgres/position-ranges.ts';

/**
 * Events that a reader has accepted and whose plan may not be committed yet: the log does not name them, and yet they
 * are as good as planned.
 */
export interface PlansUnderWay {
  /** Called before their look is accepted; what it returns, when their rows are committed. */
  begin(positions: readonly number[]): () => void;
  /** Everything that is under way now, and what begins until the end of the watch. */
  watch(): PlansWatch;
}

export interface PlansWatch {
  readonly positions: PositionRanges;
  end(): void;
}

export function createPlansUnderWay(): PlansUnderWay {
  const underWay = new Set<PositionRanges>();
  const watches = new Set<PositionRanges[]>();
  return {
    begin(positions) {
      const ranges = rangesOf(positions);
      underWay.add(ranges);
      for (const seen of watches) seen.push(ranges);
      return () => underWay.delete(ranges);
    },
    watch() {
      const seen: PositionRanges[] = [...underWay];
      watches.add(seen);
      return {
        get positions() {
          return unionOf(seen);
        },
        end: () => watches.delete(seen),
      };
    },
  };
}
