import { cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findExecutable, isExecutable } from '../../src/embedded/find-executable.ts';
import { run } from '../../src/embedded/process.ts';

/** A PgBouncer that runs here. */
export interface PgBouncerBinary {
  readonly path: string;
  /** Shared libraries that the machine lacks; empty if it has them all. */
  readonly libraries: string;
  /** Holds both; null where the system has them. */
  readonly folder: string | null;
}

const CACHE = join(import.meta.dirname, '..', '..', '.cache', 'pgbouncer');

/**
 * PgBouncer from PATH, our cache, or the distribution's package, unpacked into the cache with the libraries that are
 * missing. Needs no root and changes nothing on the system.
 */
export async function ensurePgBouncer(): Promise<PgBouncerBinary> {
  const path = await findExecutable('pgbouncer');
  if (path !== undefined) return { path, libraries: '', folder: null };
  const folder = join(CACHE, 'package');
  const cached = binaryIn(folder);
  if (await isExecutable(cached.path)) return cached;
  await mkdir(CACHE, { recursive: true });
  const staging = await mkdtemp(join(CACHE, 'installing-'));
  try {
    await unpack(staging);
    // Somebody else may have been quicker; then theirs serves as well.
    await rename(join(staging, 'package'), folder).catch(() => undefined);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return cached;
}

function binaryIn(folder: string): PgBouncerBinary {
  return { path: join(folder, 'pgbouncer'), libraries: join(folder, 'lib'), folder };
}

async function unpack(folder: string): Promise<void> {
  const unpacked = join(folder, 'unpacked');
  const apt = await aptOptions(folder);
  await download(folder, unpacked, [...apt, 'download', 'pgbouncer']);
  const program = join(unpacked, 'usr', 'sbin', 'pgbouncer');
  const ready = join(folder, 'package');
  await mkdir(join(ready, 'lib'), { recursive: true });
  await cp(program, join(ready, 'pgbouncer'));
  if ((await missingLibraries(program)).length === 0) return;
  const depends = await run('apt-cache', [...apt, 'depends', '--important', 'pgbouncer']);
  const packages = [...depends.matchAll(/^\s*\|?(?:Pre)?Depends: (lib(?!c6)\S+)/gm)].map(
    ([, name]) => name ?? '',
  );
  await download(folder, unpacked, [...apt, 'download', ...packages]);
  await copyLibraries(unpacked, join(ready, 'lib'), await missingLibraries(program));
}

/** Container images come without package lists: then ours lie in the folder. */
async function aptOptions(folder: string): Promise<string[]> {
  if ((await run('apt-cache', ['madison', 'pgbouncer'])).trim() !== '') return ['--quiet'];
  const lists = join(folder, 'lists');
  await mkdir(join(lists, 'partial'), { recursive: true });
  const own = ['--quiet', '-o', `Dir::State::lists=${lists}`, '-o', `Dir::Cache=${join(folder, 'apt')}`];
  await run('apt-get', [...own, 'update']);
  return own;
}

async function download(folder: string, into: string, args: readonly string[]): Promise<void> {
  const archives = await mkdtemp(join(folder, 'archives-'));
  await run('apt-get', args, { cwd: archives });
  for (const name of await readdir(archives)) await run('dpkg', ['-x', join(archives, name), into]);
}

async function missingLibraries(program: string): Promise<string[]> {
  const listed = await run('ldd', [program]);
  return [...listed.matchAll(/^\s*(\S+) => not found/gm)].map(([, name]) => name ?? '');
}

async function copyLibraries(from: string, to: string, names: readonly string[]): Promise<void> {
  const files = await readdir(from, { recursive: true });
  for (const name of names) {
    const found = files.find((file) => file.endsWith(`/${name}`));
    if (found === undefined) throw new Error(`no package of PgBouncer's has ${name}`);
    await cp(join(from, found), join(to, name), { dereference: true });
  }
}
