import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../src/embedded/process.ts';
import { messageOf } from '../../src/errors.ts';

const DEBIAN_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * Unpacks a package of another Debian suite than the machine's, and returns the folder that holds its files. From the
 * archives that the machine's apt uses, with sources and lists of our own: needs no root and changes nothing on the system.
 */
export async function unpackFromSuite(
  folder: string,
  { suite, name }: { readonly suite: string; readonly name: string },
): Promise<string> {
  const failures: string[] = [];
  for (const archive of await archives()) {
    try {
      return await unpackFrom(folder, { source: `${archive} ${suite} main`, name });
    } catch (cause) {
      failures.push(messageOf(cause));
    }
  }
  throw new Error(failures.join('; ') || 'apt knows no archive with a component main');
}

async function archives(): Promise<string[]> {
  const format = ['--no-release-info', '--format', '$(COMPONENT) $(REPO_URI)'];
  const printed = await run('apt-get', ['indextargets', ...format, 'Created-By: Packages']);
  const lines = printed.split('\n').filter((line) => line.startsWith('main '));
  return [...new Set(lines.map((line) => line.slice('main '.length)))];
}

async function unpackFrom(parent: string, { source, name }: { source: string; name: string }) {
  const folder = await mkdtemp(join(parent, 'suite-'));
  await mkdir(join(folder, 'lists', 'partial'), { recursive: true });
  await mkdir(join(folder, 'no-parts'));
  const signedBy = existsSync(DEBIAN_KEYRING) ? `[signed-by=${DEBIAN_KEYRING}] ` : '';
  await writeFile(join(folder, 'sources.list'), `deb ${signedBy}${source}\n`);
  const options = [
    `Dir::State::lists=${join(folder, 'lists')}`,
    `Dir::Cache=${join(folder, 'apt')}`,
    `Dir::Etc::sourcelist=${join(folder, 'sources.list')}`,
    `Dir::Etc::sourceparts=${join(folder, 'no-parts')}`,
    'Acquire::Languages=none',
  ].flatMap((option) => ['-o', option]);
  await run('apt-get', [...options, '--quiet', 'update']);
  await run('apt-get', [...options, '--quiet', 'download', name], { cwd: folder });
  const archive = (await readdir(folder)).find((file) => file.endsWith('.deb'));
  if (archive === undefined) throw new Error('apt-get left no package behind');
  await run('dpkg', ['-x', join(folder, archive), join(folder, 'package')]);
  return join(folder, 'package');
}
