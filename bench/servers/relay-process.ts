import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type ProcessUsage, processUsage } from './process-usage.ts';

export interface RelayTarget {
  readonly url: string;
  readonly natsUrl: string;
  /** Its subjects begin with its name. */
  readonly stream: string;
}

export interface RelayProcessOptions {
  /** `off`, or where it serves HTTP. Default `off`. */
  readonly http?: string;
  /** Several streams instead of the target's, in `stream` ordering; the subjects of each begin with its name. */
  readonly lanes?: readonly string[];
  /** Further settings, by their environment names. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called for every line of its log. */
  readonly onLine?: (line: Readonly<Record<string, unknown>>) => void;
}

/** `postcommit relay` as a user starts it. */
export interface RelayProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly pid: number;
  /** What it had used when it was ready: the price of a start, not of an event. */
  readonly atReady: ProcessUsage;
  usage(): Promise<ProcessUsage>;
  /** Asks it to end, and waits for it. */
  stop(): Promise<void>;
}

/** Resolves when it says that it is ready: it publishes, or stands by. */
export async function startRelay(
  { url, natsUrl, stream }: RelayTarget,
  { http = 'off', lanes, env = {}, onLine }: RelayProcessOptions = {},
): Promise<RelayProcess> {
  const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
  const child = spawn(process.execPath, [cli, 'relay'], {
    env: {
      ...process.env,
      DATABASE_URL: url,
      NATS_URL: natsUrl,
      ...(lanes === undefined ? only(stream) : several(lanes)),
      POSTCOMMIT_HTTP: http,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error('the relay could not be started');
  const exited = once(child, 'exit');
  const killWithUs = () => child.kill('SIGKILL'); // Ours may end by an error that nobody waits for.
  process.once('exit', killWithUs);
  child.once('exit', () => process.off('exit', killWithUs));
  const atReady = await new Promise<ProcessUsage>((resolve, reject) => {
    exited.then(([code]) => reject(new Error(`the relay ended with ${code} before it was ready`)), reject);
    createInterface({ input: child.stdout }).on('line', (text) => {
      const line = JSON.parse(text) as Record<string, unknown>;
      onLine?.(line);
      if (line.event === 'ready') resolve(processUsage(pid));
    });
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await exited;
  };
  return { child, pid, atReady, usage: () => processUsage(pid), stop, [Symbol.asyncDispose]: stop };
}

const only = (stream: string) => ({ POSTCOMMIT_STREAM: stream, POSTCOMMIT_SUBJECTS: `${stream}.>` });

const several = (streams: readonly string[]) => ({
  POSTCOMMIT_LANES: JSON.stringify(streams.map((stream) => ({ stream, subjects: [`${stream}.>`] }))),
});
