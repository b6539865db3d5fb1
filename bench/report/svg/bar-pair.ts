import { asMarkup, pixel } from '../markup.ts';
import type { BenchResult } from '../result.ts';
import { figure } from '../table.ts';

const WIDTH = 440;
const ROW = 44;
const BAR = 16;
const EDGE = 6;
/** Letters for which there is room beside the figure; tables have the whole name. */
const LONGEST_NAME = 42;

/** What a bar shows; without a spread it has no whisker. */
export interface Bar {
  readonly name: string;
  readonly median: number;
  readonly spread?: readonly [number, number];
}

/** A throughput beside its baseline; both from 0 on, and alike for both. */
export function barPair({ own, baseline, unit }: { own: Bar; baseline: Bar; unit: string }): string {
  const bars = [own, baseline];
  const most = Math.max(...bars.flatMap(({ median, spread = [0, 0] }) => [median, ...spread]).map(finite));
  const x = (value: number) => EDGE + (most > 0 ? finite(value) / most : 0) * (WIDTH - 2 * EDGE);
  const rows = bars.map((bar, i) => rowOf(bar, { x, top: i * ROW, unit, isOwn: i === 0 }));
  const alt = bars.map((bar) => wordsOf(bar, unit)).join('; ');
  return `<svg class="chart" viewBox="0 0 ${WIDTH} ${2 * ROW}" role="img" aria-label="${asMarkup(alt)}">${rows.join('')}</svg>`;
}

interface Row {
  readonly x: (value: number) => number;
  readonly top: number;
  readonly unit: string;
  readonly isOwn: boolean;
}

function rowOf(bar: Bar, { x, top, unit, isOwn }: Row): string {
  const y = top + 21;
  const look = isOwn ? 'bar c0' : 'beside';
  const width = pixel(Math.max(1, x(bar.median) - EDGE));
  const value = `${figure(bar.median)} ${unit}`;
  return `<text class="name" x="${EDGE}" y="${top + 14}">${asMarkup(shortened(bar.name))}</text><text class="name" x="${WIDTH - EDGE}" y="${top + 14}" text-anchor="end">${asMarkup(value)}</text><rect class="${look}" x="${EDGE}" y="${y}" width="${width}" height="${BAR}" rx="2"/>${whisker(bar, { x, y })}`;
}

function whisker({ spread }: Bar, { x, y }: { x: Row['x']; y: number }): string {
  if (spread === undefined || spread[0] === spread[1]) return '';
  const [from, to] = spread.map((value) => pixel(x(value)));
  const middle = y + BAR / 2;
  const path = `d="M${from} ${middle - 5}v10M${from} ${middle}H${to}M${to} ${middle - 5}v10"`;
  return `<path class="halo" ${path}/><path class="whisker" ${path}/>`;
}

function wordsOf({ name, median, spread }: Bar, unit: string): string {
  const range =
    spread === undefined || spread[0] === spread[1] ? '' : ` (${figure(spread[0])} .. ${figure(spread[1])})`;
  return `${name}: ${figure(median)} ${unit}${range}`;
}

function shortened(name: string): string {
  return name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name;
}

function finite(value: number): number {
  return Number.isFinite(value) ? Math.max(0, value) : 0;
}

/** Throughputs that are compared with another. */
export function barPairsOf(results: readonly BenchResult[]): string[] {
  return results.flatMap((result) => {
    const { name, median, spread, unit, baseline, ratio } = result;
    if (!unit.endsWith('/s') || baseline === null || ratio === null) return [];
    // A baseline that is no line of its own is known by its ratio alone.
    const line = results.find((one) => one.name === baseline && one.unit === unit);
    const beside = line ?? { name: baseline, median: median / ratio };
    return [barPair({ own: { name, median, spread }, baseline: beside, unit })];
  });
}
