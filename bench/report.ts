import type { Host } from './host.ts';

export interface BenchResult {
  readonly name: string;
  readonly unit: string;
  readonly median: number;
  /** Lowest and highest run. */
  readonly spread: readonly [number, number];
  /** The variant it is compared with, measured in the same run. */
  readonly baseline: string | null;
  readonly ratio: number | null;
  /** Counted in what was stored; null where nothing is stored. */
  readonly lost: number | null;
  readonly twice: number | null;
  readonly disorder: number | null;
}

export interface BenchReport {
  readonly host: Host;
  readonly versions: Readonly<Record<string, string>>;
  readonly results: readonly BenchResult[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[middle]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}

export function spreadOf(values: readonly number[]): readonly [number, number] {
  return [Math.min(...values), Math.max(...values)];
}

const number = (value: number) =>
  value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);

export function printTable({ host, results }: BenchReport): void {
  const header = ['measured', 'median', 'spread', 'against', 'ratio', 'lost', 'twice', 'disorder'];
  const rows = results.map((result) => [
    result.name,
    `${number(result.median)} ${result.unit}`,
    `${number(result.spread[0])} .. ${number(result.spread[1])}`,
    result.baseline ?? '',
    result.ratio === null ? '' : `${result.ratio.toFixed(2)} x`,
    ...[result.lost, result.twice, result.disorder].map((count) => (count === null ? '' : String(count))),
  ]);
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  process.stdout.write(`${host.cpu}, ${host.cores} cores, ${host.memoryGiB} GiB, ${host.platform}\n\n`);
  for (const row of [header, widths.map((width) => '-'.repeat(width)), ...rows])
    process.stdout.write(`${line(row)}\n`);
}
