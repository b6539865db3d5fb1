import { fileURLToPath } from 'node:url';
import type { RelayProcess, RelayTarget } from './relay-process.ts';
import { startProcess } from './watched-process.ts';

export interface BaselineProcess extends RelayTarget {
  /** A file of `bench/baselines`. It gets both URLs as `DATABASE_URL` and `NATS_URL`, and prints `ready` once it is. */
  readonly script: string;
  readonly args?: readonly string[];
}

/** A relay that is not postcommit's, handled and counted as postcommit's is. */
export function startBaseline({ script, args = [], url, natsUrl }: BaselineProcess): Promise<RelayProcess> {
  const path = fileURLToPath(new URL(`../baselines/${script}`, import.meta.url));
  return startProcess({
    name: script,
    command: [path, ...args],
    env: { DATABASE_URL: url, NATS_URL: natsUrl },
    isReady: (line) => line === 'ready',
  });
}
