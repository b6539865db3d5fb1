import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, realpath, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

// Written by root only, so that nobody else can slip in a program we then run.
const CACHE = '/var/cache/postcommit';

/**
 * A copy of a program's folder that every user can read and only root can write, for a checkout below a
 * folder only root may enter (such as /root). Made once per version of the folder.
 */
export async function readableCopy(folder: string): Promise<string> {
  const source = await realpath(folder);
  const { mtimeMs } = await stat(source);
  const name = createHash('sha256').update(`${source} ${mtimeMs}`).digest('hex').slice(0, 16);
  const copy = join(CACHE, name);
  if (await exists(copy)) return copy;
  await mkdir(CACHE, { recursive: true, mode: 0o755 });
  const staging = await mkdtemp(join(CACHE, 'copying-'));
  await cp(source, join(staging, 'copy'), { recursive: true, verbatimSymlinks: true });
  // Whoever is first wins; the others use that copy.
  await rename(join(staging, 'copy'), copy).catch(() => {});
  await rm(staging, { recursive: true, force: true });
  return copy;
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
