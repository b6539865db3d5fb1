import type { Line } from './result.ts';

const SHOWN = [0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99];

/** The value that so many percent of the samples do not exceed. */
export function percentileOf(samples: readonly number[], percent: number): number {
  const sorted = Float64Array.from(samples).sort();
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

/** A curve over a `percentile` axis, as far as there are samples enough for it. */
export function percentileLine(name: string, samples: readonly number[]): Line {
  const shown = SHOWN.filter((percent) => (1 - percent / 100) * samples.length >= 1);
  return { name, points: shown.map((percent) => [percent, percentileOf(samples, percent)] as const) };
}
