import { chown, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Identity } from '../../src/embedded/process.ts';

/** Certificates, secrets and configurations of a test, as files. */
export interface FileFolder extends AsyncDisposable {
  readonly path: string;
  /** Writes or replaces one, never half of it to be seen. Its path. */
  put(name: string, text: string): Promise<string>;
}

/** With an owner, files that nobody else may read, as PostgreSQL wants its key. */
export async function createFileFolder(owner?: Identity): Promise<FileFolder> {
  const path = await mkdtemp(join(tmpdir(), 'postcommit-files-'));
  if (owner !== undefined) await chown(path, owner.uid, owner.gid);
  return {
    path,
    async put(name, text) {
      const [file, fresh] = [join(path, name), join(path, `.${name}`)];
      await writeFile(fresh, text, { mode: 0o600 });
      if (owner !== undefined) await chown(fresh, owner.uid, owner.gid);
      await rename(fresh, file);
      return file;
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}
