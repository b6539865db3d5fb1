import type { BenchReport } from '../../bench/report/report.ts';

/** A report that measured nothing; tests say what it holds besides. */
export function aReport(parts: Partial<BenchReport> = {}): BenchReport {
  return {
    at: '2026-11-30T17:05:09.123Z',
    command: 'npm run bench -- drain',
    host: { cpu: 'A CPU', cores: 2, memoryGiB: 24, platform: 'linux x64' },
    versions: { node: 'v24.0.0', postgres: '18.4', nats: '2.12.1' },
    settings: { max_wal_size: '8GB' },
    runs: 5,
    quick: false,
    results: [],
    plots: [],
    ...parts,
  };
}
