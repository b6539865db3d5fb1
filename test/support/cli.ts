import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export interface CliResult {
  /** The exit code, or 128 + n after a signal that ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly tookMs: number;
}

export type Env = Readonly<Record<string, string>>;

/** Runs the real command line to its end, with nothing of this process's settings but what is given. */
export async function runCli(args: readonly string[], env: Env = {}, cwd?: string): Promise<CliResult> {
  const startedAtMs = performance.now();
  const child = start(args, env, cwd);
  const output = { stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk) => {
    output.stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    output.stderr += chunk;
  });
  const [code] = await once(child, 'close');
  return { code, ...output, tookMs: performance.now() - startedAtMs };
}

export interface RunningCli extends AsyncDisposable {
  readonly process: ChildProcess;
  readonly exit: Promise<number | null>;
  /** The first JSON line on standard output with this `event`, now or later; rejects if the process ends without. */
  line(event: string): Promise<Record<string, unknown>>;
}

/** Starts a long-running command whose standard output is JSON lines; its end kills what still runs. */
export function startCli(args: readonly string[], env: Env = {}): RunningCli {
  const child = start(args, env);
  const seen: Record<string, unknown>[] = [];
  const waiting = new Set<() => void>();
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  if (child.stdout !== null)
    createInterface(child.stdout).on('line', (text) => {
      seen.push(JSON.parse(text));
      for (const look of waiting) look();
    });
  const exit = once(child, 'close').then(([code]) => code as number | null);
  return {
    process: child,
    exit,
    line: (event) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = seen.find((entry) => entry.event === event);
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
        void exit.then((code) => reject(new Error(`ended with ${code} before "${event}": ${stderr}`)));
      }),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await exit;
    },
  };
}

function start(args: readonly string[], env: Env, cwd?: string): ChildProcess {
  const { PATH = '', HOME = '', NATS_SERVER_BIN = '', NODE_COMPILE_CACHE = '' } = process.env;
  return spawn(process.execPath, [MAIN, ...args], {
    env: { PATH, HOME, NATS_SERVER_BIN, NODE_COMPILE_CACHE, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
  });
}
