import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface RelayTarget {
  readonly databaseUrl: string;
  readonly natsUrl: string;
  /** Its subjects begin with its name. */
  readonly stream: string;
}

/** `postcommit relay` as a user starts it, for one stream. Its log goes nowhere unless it is piped. */
export function spawnRelay(
  { databaseUrl, natsUrl, stream }: RelayTarget,
  { log = 'ignore', http = 'off' }: { log?: 'ignore' | 'pipe'; http?: string } = {},
): ChildProcess {
  const cli = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
  return spawn(process.execPath, [cli, 'relay'], {
    env: {
      ...process.env,
      DATABASE_URL: databaseUrl,
      NATS_URL: natsUrl,
      POSTCOMMIT_STREAM: stream,
      POSTCOMMIT_SUBJECTS: `${stream}.>`,
      POSTCOMMIT_HTTP: http,
    },
    stdio: ['ignore', log, 'inherit'],
  });
}
