import { cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findExecutable, isExecutable } from '../../src/embedded/find-executable.ts';
import { run } from '../../src/embedded/process.ts';
import { aptOptions, unpackPackages } from './debian-package.ts';

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
  const apt = await aptOptions(folder, 'pgbouncer');
  await unpackPackages(folder, { apt, names: ['pgbouncer'], into: unpacked });
  const program = join(unpacked, 'usr', 'sbin', 'pgbouncer');
  const ready = join(folder, 'package');
  await mkdir(join(ready, 'lib'), { recursive: true });
  await cp(program, join(ready, 'pgbouncer'));
  if ((await missingLibraries(program)).length === 0) return;
  const depends = await run('apt-cache', [...apt, 'depends', '--important', 'pgbouncer']);
  const names = [...depends.matchAll(/^\s*\|?(?:Pre)?Depends: (lib(?!c6)\S+)/gm)].map(
    ([, name]) => name ?? '',
  );
  await unpackPackages(folder, { apt, names, into: unpacked });
  await copyLibraries(unpacked, join(ready, 'lib'), await missingLibraries(program));
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
