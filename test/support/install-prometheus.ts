import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findExecutable, isExecutable } from '../../src/embedded/find-executable.ts';
import { messageOf } from '../../src/errors.ts';
import { aptOptions, unpackPackages } from './debian-package.ts';

const PROGRAMS = ['promtool', 'prometheus'] as const;
const CACHE = join(import.meta.dirname, '..', '..', '.cache', 'prometheus');

/**
 * Prometheus or its tool from PATH, our cache, or the distribution's package, unpacked into the cache: nothing is
 * installed on the system, and no service is started.
 */
export async function ensurePrometheus(program: (typeof PROGRAMS)[number]): Promise<string> {
  const found = await findExecutable(program);
  if (found !== undefined) return found;
  const cached = join(CACHE, 'package', program);
  if (await isExecutable(cached)) return cached;
  try {
    await install();
  } catch (cause) {
    throw new Error(
      `No ${program} found, and the package prometheus could not be unpacked: ${messageOf(cause)}. Put ${program} on PATH.`,
      { cause },
    );
  }
  return cached;
}

async function install(): Promise<void> {
  await mkdir(CACHE, { recursive: true });
  const staging = await mkdtemp(join(CACHE, 'installing-'));
  try {
    const unpacked = join(staging, 'unpacked');
    const apt = await aptOptions(staging, 'prometheus');
    await unpackPackages(staging, { apt, names: ['prometheus'], into: unpacked });
    const ready = join(staging, 'package');
    await mkdir(ready);
    for (const program of PROGRAMS) await cp(join(unpacked, 'usr', 'bin', program), join(ready, program));
    // Somebody else may have been quicker; then theirs serves as well.
    await rename(ready, join(CACHE, 'package')).catch(() => undefined);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}
