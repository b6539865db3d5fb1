import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { htmlReport } from './html.ts';
import type { BenchReport } from './report.ts';
import type { Plot } from './result.ts';
import { lineChartFile } from './svg/line-chart.ts';

/** `bench.json`, `bench.html`, and each plot as an SVG. Returns the paths of the files. */
export async function writeReport(report: BenchReport, folder: string): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const names = plotFileNames(report.plots);
  const files = new Map([
    ['bench.json', `${JSON.stringify(report, null, 2)}\n`],
    ['bench.html', htmlReport(report)],
    ...report.plots.map((plot, i) => [names[i] ?? '', lineChartFile(plot)] as const),
  ]);
  for (const [name, text] of files) await writeFile(join(folder, name), text);
  return [...files.keys()].map((name) => join(folder, name));
}

/** After their titles; those of one name are numbered. */
export function plotFileNames(plots: readonly Plot[]): string[] {
  const taken = new Set<string>();
  return plots.map(({ title }) => {
    const base =
      title
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, '-')
        .replace(/^-|-$/g, '') || 'plot';
    let name = base;
    for (let number = 2; taken.has(name); number++) name = `${base}-${number}`;
    taken.add(name);
    return `${name}.svg`;
  });
}
