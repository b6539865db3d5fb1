import { pairs } from './host.ts';
import { htmlTable } from './html-table.ts';
import { asMarkup } from './markup.ts';
import { PAGE_STYLE } from './page-style.ts';
import type { BenchReport } from './report.ts';
import { type BenchResult, isMet } from './result.ts';
import { barPairsOf } from './svg/bar-pair.ts';
import { lineChart } from './svg/line-chart.ts';
import { CHART_STYLE } from './svg/style.ts';
import { askedOf, figure, ratioOf } from './table.ts';

/** The whole report as one file that loads nothing and runs nothing. */
export function htmlReport(report: BenchReport): string {
  const { at, results, plots } = report;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>postcommit: benchmarks of ${asMarkup(at.slice(0, 10))}</title><style>${PAGE_STYLE}
${CHART_STYLE}</style></head>
<body><main>
<h1>postcommit: benchmarks</h1>
<p class="soft">${asMarkup(timeOf(at))}</p>
${banner(results)}
${circumstances(report)}
<h2>Results</h2>
<p class="soft">Ratios are of the two medians, measured in the same run. What is lost, twice or out of order was counted in what was stored.</p>
${htmlTable(results)}
${section('Throughput beside its baseline', { about: 'Bars are medians, whiskers go from the lowest run to the highest. Each pair has a scale of its own.', figures: barPairsOf(results).map((bars) => `<figure>${bars}</figure>`) })}
${section('Curves', { figures: plots.map((plot) => `<figure><figcaption>${asMarkup(plot.title)}</figcaption>${lineChart(plot)}</figure>`) })}
</main></body></html>
`;
}

function timeOf(at: string): string {
  return at.replace('T', ' ').replace(/(\.\d+)?Z$/, ' UTC');
}

/** What was asked and what came of it, before any figure. */
function banner(results: readonly BenchResult[]): string {
  const asked = results.filter((result) => isMet(result) !== undefined);
  const missed = asked.filter((result) => isMet(result) === false);
  if (asked.length === 0) return '';
  if (missed.length === 0)
    return `<div class="banner"><span class="met">✓ met</span>: all ${asked.length} targets</div>`;
  const lines = missed.map(
    (result) =>
      `<li>${asMarkup(result.name)}: ${ratioOf(result) || `${figure(result.median)} ${asMarkup(result.unit)}`}, asked ${asMarkup(askedOf(result))}</li>`,
  );
  return `<div class="banner short"><span class="missed">✗ MISSED</span>: ${missed.length} of ${asked.length} targets<ul>${lines.join('')}</ul></div>`;
}

function circumstances({ command, host, versions, settings, runs, quick }: BenchReport): string {
  const rows = {
    command: `<code>${asMarkup(command)}</code>`,
    host: asMarkup(
      `${host.cpu}, ${host.cores} cores, ${host.memoryGiB} GiB, ${host.platform}; everything on it`,
    ),
    versions: asMarkup(pairs(versions)),
    settings: asMarkup(`PostgreSQL with ${pairs(settings)}; NATS and the rest as they come`),
    runs: quick ? 'quick: a look at small loads, no figure to quote' : `medians of ${runs} interleaved runs`,
  };
  const items = Object.entries(rows).map(([name, markup]) => `<dt>${name}</dt><dd>${markup}</dd>`);
  return `<dl>${items.join('')}</dl>`;
}

function section(
  title: string,
  { about = '', figures }: { about?: string; figures: readonly string[] },
): string {
  if (figures.length === 0) return '';
  const words = about === '' ? '' : `<p class="soft">${about}</p>`;
  return `<h2>${title}</h2>${words}<div class="charts">\n${figures.join('\n')}\n</div>`;
}
