import type { Host } from './host.ts';
import type { BenchResult, Plot } from './result.ts';

/** All that one call of `npm run bench` measured, as `--json` prints it. */
export interface BenchReport {
  /** When it began, as an ISO 8601 time. */
  readonly at: string;
  readonly command: string;
  readonly host: Host;
  readonly versions: Readonly<Record<string, string>>;
  /** What differs from the servers' defaults. */
  readonly settings: Readonly<Record<string, string>>;
  readonly runs: number;
  readonly quick: boolean;
  readonly results: readonly BenchResult[];
  readonly plots: readonly Plot[];
}
