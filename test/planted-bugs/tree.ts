import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PlantedBug } from './bug.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const COPIED = ['src', 'test', 'migrations', 'package.json', 'tsconfig.json'];
/** Of the cache: what would otherwise be installed again. */
const CACHED = ['nats-server', 'nats-server-versions', 'pgbouncer'];

/** A copy of this tree with the bug in it; unchanged without one. */
export async function plantInto(name: string, bug: PlantedBug | undefined): Promise<string> {
  const folder = join(ROOT, '.cache', 'planted-bugs', name.replaceAll(/[^a-z0-9]+/gi, '-'));
  await rm(folder, { recursive: true, force: true });
  await mkdir(join(folder, '.cache'), { recursive: true });
  for (const part of COPIED) await cp(join(ROOT, part), join(folder, part), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  for (const part of CACHED)
    await symlink(join(ROOT, '.cache', part), join(folder, '.cache', part)).catch(() => undefined);
  for (const edit of bug?.edits ?? []) await apply(folder, edit);
  return folder;
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
