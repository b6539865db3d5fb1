import { median, spreadOf } from './statistics.ts';

/** One line of the table. */
export interface BenchResult {
  readonly name: string;
  readonly unit: string;
  readonly median: number;
  /** Lowest and highest run. */
  readonly spread: readonly [number, number];
  /** The variant it is compared with, measured in the same run. */
  readonly baseline: string | null;
  /** Of the two medians. */
  readonly ratio: number | null;
  /** Counted in what was stored, over all runs; null where nothing is stored. */
  readonly lost: number | null;
  readonly twice: number | null;
  readonly disorder: number | null;
  /** What `design.md` asks of it; absent where it asks nothing. */
  readonly target?: Target;
}

/** Of the ratio where there is one, else of the median. */
export interface Target {
  readonly at: 'least' | 'most';
  readonly value: number;
}

export interface BenchOutcome {
  readonly results: readonly BenchResult[];
  readonly plots?: readonly Plot[];
}

/** Curves over one plane. */
export interface Plot {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly Line[];
}

export interface Axis {
  readonly label: string;
  /** `percentile`: 0 to 100, drawn by its distance from 100 in powers of ten. Default `linear`. */
  readonly scale?: 'linear' | 'log' | 'percentile';
}

export interface Line {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** What was counted in the streams or tables at the end of a run. */
export interface Faults {
  readonly lost: number;
  readonly twice: number;
  readonly disorder: number;
}

/** One figure for each run of a variant. */
export interface Measured {
  readonly name: string;
  readonly unit: string;
  readonly values: readonly number[];
  readonly against?: { readonly name: string; readonly values: readonly number[] };
  readonly faults?: readonly Faults[];
  readonly target?: Target;
}

export function resultOf({ name, unit, values, against, faults, target }: Measured): BenchResult {
  return {
    name,
    unit,
    median: median(values),
    spread: spreadOf(values),
    baseline: against?.name ?? null,
    ratio: against === undefined ? null : median(values) / median(against.values),
    lost: null,
    twice: null,
    disorder: null,
    ...(faults === undefined ? {} : sumOf(faults)),
    ...(target === undefined ? {} : { target }),
  };
}

/** Undefined where nothing is asked of it. */
export function isMet({ median: value, ratio, target }: BenchResult): boolean | undefined {
  if (target === undefined) return undefined;
  const figure = ratio ?? value;
  return target.at === 'least' ? figure >= target.value : figure <= target.value;
}

function sumOf(faults: readonly Faults[]): Faults {
  const sum = { lost: 0, twice: 0, disorder: 0 };
  for (const { lost, twice, disorder } of faults) {
    sum.lost += lost;
    sum.twice += twice;
    sum.disorder += disorder;
  }
  return sum;
}
