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
    ratioOf(result),
    verdictOf(result),
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

/** Three digits, or all before the point. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return 'none';
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);
}

export function ratioOf({ ratio }: BenchResult): string {
  if (ratio === null) return '';
  return Number.isFinite(ratio) ? `${ratio.toFixed(2)} x` : 'none';
}

/** Such as `≥ 2 x`. */
export function askedOf({ target, ratio }: BenchResult): string {
  if (target === undefined) return '';
  return `${target.at === 'least' ? '≥' : '≤'} ${target.value}${ratio === null ? '' : ' x'}`;
}

function verdictOf(result: BenchResult): string {
  if (result.target === undefined) return '';
  return `${askedOf(result)}: ${isMet(result) ? 'met' : 'MISSED'}`;
}
