import type { BenchReport } from './report.ts';
import { type BenchResult, isMet } from './result.ts';

/** The results for people, on one screen. */
export function tableOf({ results }: Pick<BenchReport, 'results'>): string {
  const header = ['measured', 'median', 'spread', 'against', 'ratio', 'asked', 'lost', 'twice', 'disorder'];
  const rows = results.map((result) => [
    result.name,
    `${figure(result.median)} ${result.unit}`,
    `${figure(result.spread[0])} .. ${figure(result.spread[1])}`,
    result.baseline ?? '',
    result.ratio === null ? '' : `${result.ratio.toFixed(2)} x`,
    askedOf(result),
    ...[result.lost, result.twice, result.disorder].map((count) => (count === null ? '' : String(count))),
  ]);
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return `${[header, widths.map((width) => '-'.repeat(width)), ...rows].map(line).join('\n')}\n`;
}

export function figure(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);
}

export function askedOf(result: BenchResult): string {
  const { target, ratio } = result;
  if (target === undefined) return '';
  const sign = target.at === 'least' ? '>=' : '<=';
  return `${sign} ${target.value}${ratio === null ? '' : ' x'}: ${isMet(result) ? 'met' : 'MISSED'}`;
}
