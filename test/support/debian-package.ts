import { mkdir, mkdtemp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../src/embedded/process.ts';

/** Where apt-get looks for packages. */
export type AptOptions = readonly string[];

/** The machine's own lists where they name the package. Container images come without: then ours lie in the folder. */
export async function aptOptions(folder: string, name: string): Promise<AptOptions> {
  if ((await run('apt-cache', ['madison', name])).trim() !== '') return ['--quiet'];
  const lists = join(folder, 'lists');
  await mkdir(join(lists, 'partial'), { recursive: true });
  const own = ['--quiet', '-o', `Dir::State::lists=${lists}`, '-o', `Dir::Cache=${join(folder, 'apt')}`];
  await run('apt-get', [...own, 'update']);
  return own;
}

/** Downloads packages and unpacks them into a folder below this one. Needs no root and changes nothing on the system. */
export async function unpackPackages(
  folder: string,
  {
    apt,
    names,
    into,
  }: { readonly apt: AptOptions; readonly names: readonly string[]; readonly into: string },
): Promise<void> {
  const archives = await mkdtemp(join(folder, 'archives-'));
  await run('apt-get', [...apt, 'download', ...names], { cwd: archives });
  for (const name of await readdir(archives)) await run('dpkg', ['-x', join(archives, name), into]);
}
