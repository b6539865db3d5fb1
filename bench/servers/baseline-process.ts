import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type ProcessUsage, processUsage } from './process-usage.ts';
import type { RelayProcess, RelayTarget } from './relay-process.ts';

export interface BaselineProcess extends RelayTarget {
  /** A file of `bench/baselines`. It gets both URLs as `DATABASE_URL` and `NATS_URL`, and prints `ready` once it is. */
  readonly script: string;
  readonly args?: readonly string[];
}

/** A relay that is not postcommit's, handled and counted as postcommit's is. */
export async function startBaseline({
  script,
  args = [],
  url,
  natsUrl,
}: BaselineProcess): Promise<RelayProcess> {
  const path = fileURLToPath(new URL(`../baselines/${script}`, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], {
    env: { ...process.env, DATABASE_URL: url, NATS_URL: natsUrl },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${script} could not be started`);
  const exited = once(child, 'exit');
  const atReady = await new Promise<ProcessUsage>((resolve, reject) => {
    exited.then(([code]) => reject(new Error(`${script} ended with ${code} before it was ready`)), reject);
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line === 'ready') resolve(processUsage(pid));
    });
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await exited;
  };
  return { child, pid, atReady, usage: () => processUsage(pid), stop, [Symbol.asyncDispose]: stop };
}
