import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './pages.ts';

/** A copy of this repository as a reader has it after `npm ci`: samples in it import the package by its name. */
export interface Checkout extends AsyncDisposable {
  readonly path: string;
  write(name: string, text: string): Promise<void>;
  /** Starts a command line as a terminal in the checkout would. */
  start(script: string, env: Readonly<Record<string, string>>): Terminal;
}

export interface Terminal extends AsyncDisposable {
  readonly output: string;
  /** Resolves when the output holds the text; rejects with all of it if the command ends without. */
  prints(text: string): Promise<void>;
  readonly exit: Promise<number | null>;
  /** As Ctrl-C does. */
  interrupt(): void;
}

const COPIED = [
  'src',
  'scripts',
  'migrations',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'README.md',
  'LICENSE',
];

export async function createCheckout(): Promise<Checkout> {
  const path = await mkdtemp(join(tmpdir(), 'postcommit-docs-'));
  for (const name of COPIED) await cp(join(ROOT, name), join(path, name), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(path, 'node_modules'));
  await writeFile(join(path, 'psql'), PSQL);
  await chmod(join(path, 'psql'), 0o755);
  return {
    path,
    write: (name, text) => writeFile(join(path, name), text),
    start: (script, env) => startTerminal(script, { cwd: path, env }),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** For a machine without psql: URL as argument, statements on standard input. */
const PSQL = `#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import pg from 'pg';
const client = new pg.Client(process.argv[2]);
await client.connect();
await client.query(readFileSync(0, 'utf8'));
await client.end();
`;

/** A command line as a terminal in the folder would run it, with nothing of this process's settings but what is given. */
export function startTerminal(
  script: string,
  { cwd, env }: { cwd: string; env: Readonly<Record<string, string>> },
): Terminal {
  const { PATH = '', HOME = '', NATS_SERVER_BIN = '', NODE_COMPILE_CACHE = '' } = process.env;
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
    cwd,
    // A machine's own psql comes first.
    env: { PATH: `${PATH}:${cwd}`, HOME, NATS_SERVER_BIN, NODE_COMPILE_CACHE, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, to end whatever the shell started.
    detached: true,
  });
  const listeners = new Set<() => void>();
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output += chunk;
      for (const listener of listeners) listener();
    });
  const exit = once(child, 'close').then(([code]) => code as number | null);
  return {
    get output() {
      return output;
    },
    prints: (text) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (output.includes(text)) resolve();
        };
        listeners.add(look);
        look();
        void exit.then((code) => reject(new Error(`ended with ${code} before "${text}":\n${output}`)));
      }),
    exit,
    interrupt: () => signalGroup(child, 'SIGINT'),
    async [Symbol.asyncDispose]() {
      signalGroup(child, 'SIGKILL');
      await exit;
    },
  };
}

function signalGroup({ pid, exitCode, signalCode }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined || exitCode !== null || signalCode !== null) return;
  process.kill(-pid, signal);
}
