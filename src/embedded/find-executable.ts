import { access, constants, readdir, realpath } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

// Where packages put servers although an ordinary user's PATH lacks the folder.
const SYSTEM_FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/usr/local/bin', '/opt/homebrew/bin'];

/**
 * The real path of an executable on PATH or in a system folder. Together with `NATS_SERVER_BIN` this is the
 * one place of the library that reads the environment: looking for a program on the machine means PATH.
 */
export async function findExecutable(name: string): Promise<string | undefined> {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const folder of [...folders, ...SYSTEM_FOLDERS]) {
    const path = join(folder, name);
    if (await isExecutable(path)) return realpath(path);
  }
  return undefined;
}

export async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The folders in `parent` whose names are versions, newest first; none if there is no such folder. */
export async function versionFolders(parent: string): Promise<string[]> {
  const names = await readdir(parent).catch(() => []);
  return names
    .filter((name) => /^\d/.test(name))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((name) => join(parent, name));
}
