import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

// Written by root only, so that nobody else can slip in a program we then run.
const CACHE = '/var/cache/postcommit';

/**
 * A copy of a program's folder that every user can read and only root can write, for a checkout below a
 * folder only root may enter (such as /root). Made once per build, which `fingerprint`, a file in it, stands for.
 */
export async function readableCopy(folder: string, fingerprint: string): Promise<string> {
  const build = createHash('sha256').update(await readFile(join(folder, fingerprint)));
  const copy = join(CACHE, build.digest('hex').slice(0, 16));
  if (await exists(copy)) return copy;
  await mkdir(CACHE, { recursive: true, mode: 0o755 });
  const staging = await mkdtemp(join(CACHE, 'copying-'));
  const staged = join(staging, 'copy');
  await cp(folder, staged, { recursive: true, verbatimSymlinks: true });
  // Whoever is first wins; the others use that copy.
  await rename(staged, copy).catch(() => {});
  await rm(staging, { recursive: true, force: true });
  return copy;
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
