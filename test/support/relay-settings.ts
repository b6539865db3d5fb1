import type { LaneOptions } from '../../src/relay/index.ts';

/** A script that runs what `postcommit relay` runs, with settings that the command line has no flags for. */
export const RELAY_MAIN = new URL('./relay-main.ts', import.meta.url);

/** What the script takes, as JSON in the variable SETTINGS. What is not said is as in `createRelay`. */
export interface RelaySettings {
  readonly databaseUrl: string;
  /** Of several servers separated by commas. */
  readonly natsUrl: string;
  readonly lane: LaneOptions;
  readonly leaseTtlMs: number;
  readonly retentionMs?: number;
  readonly segmentBytes?: number;
  /** Host and port. */
  readonly http: string;
  /** How long a SIGUSR2 blocks the event loop, as a long synchronous computation does. */
  readonly blockMs: number;
  readonly graceMs: number;
}
