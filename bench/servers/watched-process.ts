import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type ProcessUsage, processUsage } from './process-usage.ts';

/** A process that is measured, and ends with us. */
export interface WatchedProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly pid: number;
  /** What it had used when it was ready: the price of a start, not of an event. */
  readonly atReady: ProcessUsage;
  usage(): Promise<ProcessUsage>;
  /** Asks it to end, and waits for it. */
  stop(): Promise<void>;
}

export interface WatchedProcessOptions {
  /** For messages. */
  readonly name: string;
  /** A file for Node and its arguments. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Called for every line it prints: whether it says that it is ready. */
  readonly isReady: (line: string) => boolean;
}

/** Resolves when it says that it is ready. */
export async function startProcess({
  name,
  command,
  env,
  isReady,
}: WatchedProcessOptions): Promise<WatchedProcess> {
  const child = spawn(process.execPath, command, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${name} could not be started`);
  const exited = once(child, 'exit');
  const killWithUs = () => child.kill('SIGKILL'); // Ours may end by an error that nobody waits for.
  process.once('exit', killWithUs);
  child.once('exit', () => process.off('exit', killWithUs));
  const atReady = await new Promise<ProcessUsage>((resolve, reject) => {
    exited.then(([code]) => reject(new Error(`${name} ended with ${code} before it was ready`)), reject);
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (isReady(line)) resolve(processUsage(pid));
    });
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await exited;
  };
  return { child, pid, atReady, usage: () => processUsage(pid), stop, [Symbol.asyncDispose]: stop };
}
