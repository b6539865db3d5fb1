import type { Axis } from '../result.ts';

export interface Tick {
  /** From 0, where the axis begins, to 1. */
  readonly at: number;
  readonly label: string;
}

/** How values lie along an axis. */
export interface Scale {
  /** From 0 to 1; undefined for what the axis cannot show: NaN, infinities, 0 on a logarithmic one. */
  at(value: number): number | undefined;
  readonly ticks: readonly Tick[];
}

/** An axis that holds all of these values that it can show. Without any it goes from 0 to 1, from 1 to 10, or from 0 to 99.99. */
export function scaleOf(kind: NonNullable<Axis['scale']>, values: readonly number[]): Scale {
  return SCALES[kind](values.filter(Number.isFinite));
}

const SCALES: Readonly<Record<NonNullable<Axis['scale']>, (values: readonly number[]) => Scale>> = {
  linear: linearScale,
  log: logScale,
  percentile: percentileScale,
};

const TICKS = 5;
/** Less than that is measured by nobody, and in far smaller numbers divisions go wrong. */
const LEAST = 1e-12;

/** Begins at 0 unless a value is below it: from a cut axis one reads ratios that are none. */
function linearScale(values: readonly number[]): Scale {
  const [low, high] = boundsOf(values, [0, 1]);
  const [from, end] = [Math.min(0, low), Math.max(0, high)];
  const to = end - from > LEAST ? end : from + 1;
  const step = ceilingOf((to - from) / TICKS);
  const [first, last] = [Math.floor(from / step), Math.ceil(to / step - 1e-9)];
  const span = (last - first) * step;
  return {
    at: (value) => (Number.isFinite(value) ? (value - first * step) / span : undefined),
    ticks: Array.from({ length: last - first + 1 }, (_, i) => ({
      at: i / (last - first),
      label: tickLabel((first + i) * step),
    })),
  };
}

/** From one of 1, 2, 5, 10, … to another, so that the data fills it. */
function logScale(values: readonly number[]): Scale {
  const [low, high] = boundsOf(
    values.filter((value) => value >= LEAST),
    [1, 10],
  );
  const from = floorOf(low);
  const to = ceilingOf(Math.max(high, from * 1.1));
  const span = Math.log10(to / from);
  const at = (value: number) =>
    Number.isFinite(value) && value >= LEAST ? Math.log10(value / from) / span : undefined;
  // All of 1, 2, 5 while there is room, then the powers of ten, then every second or third of them.
  const every = Math.ceil(span / 7);
  const wanted = (mantissa: number, exponent: number) =>
    span <= 2.4 || (mantissa === 1 && exponent % every === 0);
  const ticks: Tick[] = [];
  for (let exponent = Math.floor(Math.log10(from)); exponent <= Math.ceil(Math.log10(to)); exponent++)
    for (const mantissa of [1, 2, 5]) {
      const value = mantissa * 10 ** exponent;
      if (value < from * 0.999 || value > to * 1.001 || !wanted(mantissa, exponent)) continue;
      ticks.push({ at: at(value) ?? 0, label: tickLabel(value) });
    }
  return { at, ticks };
}

/** What lies between the last decade and the highest value of all, in decades. */
const TO_THE_MAXIMUM = 0.8;

/** As HdrHistogram draws it: each step to the right leaves a tenth of what was left. 100, which is never reached, is at the end. */
function percentileScale(values: readonly number[]): Scale {
  const [, highest] = boundsOf(
    values.filter((value) => value >= 0 && value < 100),
    [0, 0],
  );
  const decades = Math.min(6, Math.max(4, Math.ceil(-Math.log10(1 - highest / 100) - 1e-9)));
  const hasMaximum = values.includes(100);
  const span = decades + (hasMaximum ? TO_THE_MAXIMUM : 0);
  const at = (value: number) => {
    if (!(value >= 0 && value <= 100)) return undefined;
    return value === 100 ? 1 : Math.min(decades, -Math.log10(1 - value / 100)) / span;
  };
  const ticks = Array.from({ length: decades + 1 }, (_, i) => ({ at: i / span, label: nines(i) }));
  return { at, ticks: hasMaximum ? [...ticks, { at: 1, label: 'max' }] : ticks };
}

/** 0, 90, 99, 99.9, … */
function nines(count: number): string {
  if (count < 3) return ['0', '90', '99'][count] ?? '';
  return `99.${'9'.repeat(count - 2)}`;
}

function boundsOf(
  values: readonly number[],
  otherwise: readonly [number, number],
): readonly [number, number] {
  if (values.length === 0) return otherwise;
  return [
    values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
    values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY),
  ];
}

/** The next of 1, 2, 5, 10, … that is no smaller. */
function ceilingOf(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const mantissa = value / power;
  return power * ([1, 2, 5].find((nice) => mantissa <= nice * (1 + 1e-9)) ?? 10);
}

function floorOf(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const mantissa = value / power;
  return power * ([5, 2].find((nice) => mantissa >= nice * (1 - 1e-9)) ?? 1);
}

const COMPACT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 3 });

export function tickLabel(value: number): string {
  return COMPACT.format(value === 0 ? 0 : value);
}
