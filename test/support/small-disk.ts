import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../src/embedded/process.ts';

/** A file system of its own that is soon full. */
export interface SmallDisk extends AsyncDisposable {
  readonly path: string;
  /** Makes room. */
  grow(megabytes: number): Promise<void>;
}

/** A tmpfs of that size; undefined where this process may not mount one. */
export async function mountSmallDisk(megabytes: number): Promise<SmallDisk | undefined> {
  const path = await mkdtemp(join(tmpdir(), 'postcommit-disk-'));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'postcommit-test', path]);
  } catch {
    await rm(path, { recursive: true });
    return undefined;
  }
  return {
    path,
    grow: async (size) => void (await run('mount', ['-o', `remount,size=${size}m`, path])),
    async [Symbol.asyncDispose]() {
      await run('umount', [path]);
      await rm(path, { recursive: true });
    },
  };
}
