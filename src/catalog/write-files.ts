import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CatalogFiles } from './eventcatalog.ts';

/** Lists what the last export has written, so that the next one can take away what is no more. */
const MANIFEST = '.postcommit-catalog.json';

/** Writes the files into the folder, and removes those of the last call that are none of them. Others are left alone. */
export async function writeCatalogFiles(folder: string, files: CatalogFiles): Promise<{ removed: number }> {
  const former = await readManifest(folder);
  const stale = former.filter((path) => !files.has(path));
  for (const path of stale) await rm(join(folder, path), { force: true });
  for (const [path, text] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  await writeFile(join(folder, MANIFEST), `${JSON.stringify([...files.keys()].sort(), null, 2)}\n`);
  return { removed: stale.length };
}

/** Paths inside the folder, whatever somebody has made of the list. */
async function readManifest(folder: string): Promise<string[]> {
  try {
    const listed: unknown = JSON.parse(await readFile(join(folder, MANIFEST), 'utf8'));
    return Array.isArray(listed) ? listed.filter((path): path is string => isInside(path)) : [];
  } catch {
    return [];
  }
}

function isInside(path: unknown): boolean {
  return typeof path === 'string' && !path.startsWith('/') && !path.split(/[\\/]/).includes('..');
}
