import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { Line } from '../report/result.ts';

/** Latencies of one run, or of several: histograms are added up, percentiles never averaged. */
export interface Latencies {
  record(micros: number): void;
  add(other: Latencies): void;
  readonly count: number;
  /** Milliseconds. `at` from 0 to 100; 100 is the longest. */
  percentile(at: number): number;
  readonly histogram: RecordableHistogram;
}

const LONGEST_MICROS = 600_000_000;

/** To three figures. */
export function createLatencies(): Latencies {
  const histogram = createHistogram({ lowest: 1, highest: LONGEST_MICROS, figures: 3 });
  return {
    record(micros) {
      // A stage may seem to end before it began: the commit's answer takes a while to the writer.
      histogram.record(Math.min(LONGEST_MICROS, Math.max(1, Math.round(micros))));
    },
    add: (other) => histogram.add(other.histogram),
    get count() {
      return histogram.count;
    },
    percentile: (at) => (at === 100 ? histogram.max : histogram.percentile(at)) / 1_000,
    histogram,
  };
}

export function merged(all: readonly Latencies[]): Latencies {
  const sum = createLatencies();
  for (const latencies of all) sum.add(latencies);
  return sum;
}

const CURVE = [0.1, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99];

/** For a plot whose x is a percentile and whose y milliseconds; as far as there are enough latencies for it. */
export function curveOf(name: string, latencies: Latencies): Line {
  const told = CURVE.filter((at) => latencies.count * (1 - at / 100) >= 1);
  return { name, points: told.map((at) => [at, latencies.percentile(at)] as const) };
}
