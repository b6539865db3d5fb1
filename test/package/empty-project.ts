import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startTerminal, type Terminal } from '../docs/checkout.ts';
import { ROOT } from '../docs/pages.ts';

const run = promisify(execFile);

/** What `npm pack` makes of a checkout; its path. The checkout's own `prepack` builds it. */
export async function pack(checkout: string): Promise<string> {
  const { stdout } = await run('npm', ['pack', '--silent'], { cwd: checkout });
  return join(checkout, stdout.trim().split('\n').at(-1) ?? '');
}

/** A folder with nothing in it but a package.json: what somebody has who installs the package. */
export interface EmptyProject extends AsyncDisposable {
  readonly path: string;
  /** From npm's cache where it has them, else from the registry that npm is configured with. */
  install(...packages: string[]): Promise<void>;
  write(name: string, text: string): Promise<void>;
  start(script: string, env?: Readonly<Record<string, string>>): Terminal;
}

export async function createEmptyProject(): Promise<EmptyProject> {
  const path = await mkdtemp(join(tmpdir(), 'postcommit-project-'));
  await writeFile(join(path, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  return {
    path,
    async install(...packages) {
      const options = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
      await run('npm', ['install', ...options, ...packages], { cwd: path });
    },
    write: (name, text) => writeFile(join(path, name), text),
    start: (script, env = {}) => startTerminal(script, { cwd: path, env }),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** `name@version`, as it is installed in this repository; under an alias too. */
export async function likeHere(folder: string): Promise<string> {
  const manifest = await readFile(join(ROOT, 'node_modules', folder, 'package.json'), 'utf8');
  const { name, version } = JSON.parse(manifest) as { name: string; version: string };
  return `${name}@${version}`;
}
