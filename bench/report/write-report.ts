import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchReport } from './report.ts';

/** Returns the paths of the files. */
export async function writeReport(report: BenchReport, folder: string): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const json = join(folder, 'bench.json');
  await writeFile(json, `${JSON.stringify(report, null, 2)}\n`);
  return [json];
}
