import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { PlantedBug } from './bug.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const COPIED = ['src', 'bench', 'scripts', 'test', 'examples', 'migrations', 'package.json', 'tsconfig.json'];
/** Of the cache: what would otherwise be installed again. */
const CACHED = ['nats-server', 'nats-server-versions', 'pgbouncer'];

/** A copy of this tree, removed when it is disposed of. */
export interface PlantedTree extends AsyncDisposable {
  readonly folder: string;
}

/** With the bug in it; unchanged without one. Throws if the sources no longer are what its edits expect. */
export async function plantTree(name: string, bug?: PlantedBug): Promise<PlantedTree> {
  const folder = join(ROOT, '.cache', 'planted-bugs', name.replaceAll(/[^a-z0-9]+/gi, '-'));
  await rm(folder, { recursive: true, force: true });
  try {
    await copyTree(folder);
    for (const edit of bug?.edits ?? []) await apply(folder, edit);
    if (bug !== undefined) await assertCompiles(folder);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

async function copyTree(folder: string): Promise<void> {
  await mkdir(join(folder, '.cache'), { recursive: true });
  for (const part of COPIED) await cp(join(ROOT, part), join(folder, part), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  for (const part of CACHED)
    await symlink(join(ROOT, '.cache', part), join(folder, '.cache', part)).catch(() => undefined);
}

/** A relay that dies of a name that is nowhere would be noticed as well, and prove nothing. What is unused is what a bug leaves. */
async function assertCompiles(folder: string): Promise<void> {
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const lenient = ['--noUnusedLocals', 'false', '--noUnusedParameters', 'false'];
  await promisify(execFile)(process.execPath, [tsc, '--noEmit', '-p', 'tsconfig.json', ...lenient], {
    cwd: folder,
  }).catch((error: { stdout?: string }) => {
    throw new Error(`the planted bug does not compile: ${String(error.stdout).slice(0, 500)}`);
  });
}

async function apply(folder: string, { file, search, replace }: PlantedBug['edits'][number]): Promise<void> {
  const path = join(folder, file);
  const text = await readFile(path, 'utf8');
  const times = text.split(search).length - 1;
  if (times !== 1) throw new Error(`${file} has ${times} places that read: ${search}`);
  await writeFile(
    path,
    text.replace(search, () => replace),
  );
}
