import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';

/** A process of the system under chaos that writes JSON lines. */
export interface Child {
  readonly pid: number;
  readonly running: boolean;
  readonly exited: Promise<void>;
  /** What it said on standard error, which is nothing as long as all is well. */
  readonly stderr: string;
  kill(signal: NodeJS.Signals): void;
  /** In MiB; undefined when it has ended. */
  residentMiB(): Promise<number | undefined>;
}

export function startChild(
  script: URL,
  settings: object,
  onLine: (line: Readonly<Record<string, unknown>>) => void,
): Child {
  const child: ChildProcess = spawn(process.execPath, [script.pathname, JSON.stringify(settings)], {
    env: { PATH: process.env.PATH, LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr = (stderr + chunk).slice(-4_000);
  });
  if (child.stdout) createInterface(child.stdout).on('line', (text) => onLine(parse(text)));
  const exited = once(child, 'close').then(() => undefined);
  const running = () => child.exitCode === null && child.signalCode === null;
  return {
    pid: child.pid ?? 0,
    get running() {
      return running();
    },
    exited,
    get stderr() {
      return stderr;
    },
    kill(signal) {
      if (running()) child.kill(signal);
    },
    residentMiB: async () => {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
      const kib = /VmRSS:\s+(\d+) kB/.exec(status)?.[1];
      return kib === undefined ? undefined : Number(kib) / 1_024;
    },
  };
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text);
  } catch {
    return { event: 'unreadable', text };
  }
}
