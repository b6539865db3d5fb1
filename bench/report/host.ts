import { cpus, totalmem } from 'node:os';
import type { BenchReport } from './report.ts';

export interface Host {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly platform: string;
}

export function describeHost(): Host {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
  };
}

/** Where and how it was measured, in a few words. */
export function wordsOf({
  host,
  versions,
  settings,
  runs,
  quick,
}: Pick<BenchReport, 'host' | 'versions' | 'settings' | 'runs' | 'quick'>): string {
  const times = quick ? 'quick: a look at small loads' : `medians of ${runs} interleaved runs`;
  return `${host.cpu}, ${host.cores} cores, ${host.memoryGiB} GiB, ${host.platform}, everything on this one host; ${pairs(versions)}; PostgreSQL with ${pairs(settings)}, NATS and the rest as they come; ${times}.`;
}

export function pairs(record: Readonly<Record<string, string>>): string {
  return Object.entries(record)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}
