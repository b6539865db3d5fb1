import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { messageOf, PostcommitError } from '../errors.ts';
import { loadServices, readDocument } from './load.ts';
import type { CatalogService } from './model.ts';

const run = promisify(execFile);
const LARGEST_DOCUMENT = 64 * 1024 * 1024;

/**
 * What to compare with: a file; `<ref>:<path>`, a document in git; or a git ref, at which the sources themselves are read.
 *
 * @throws PostcommitError `config-invalid`
 */
export async function loadBefore(
  against: string,
  { sources, cwd }: { readonly sources: readonly string[]; readonly cwd: string },
): Promise<CatalogService[]> {
  if (existsSync(resolve(cwd, against))) return loadServices(against, cwd);
  if (against.includes(':')) return [readDocument(await git(cwd, ['show', against]), against)];
  const top = (await git(cwd, ['rev-parse', '--show-toplevel'])).trim();
  const commit = (await git(cwd, ['rev-parse', '--verify', '--quiet', `${against}^{commit}`])).trim();
  const here = await realpath(cwd);
  return loadTree({ top, commit, paths: sources.map((source) => relative(top, resolve(here, source))) });
}

/**
 * Modules import others, and packages: so the whole tree is laid out, within the repository, where Node looks for packages in
 * the folders above.
 */
async function loadTree({
  top,
  commit,
  paths,
}: {
  readonly top: string;
  readonly commit: string;
  readonly paths: readonly string[];
}): Promise<CatalogService[]> {
  const folder = await mkdtemp(join(top, '.postcommit-catalog-'));
  try {
    const tree = join(folder, 'tree');
    const archive = join(folder, 'tree.tar');
    await mkdir(tree);
    await git(top, ['archive', '--format=tar', `--output=${archive}`, commit]);
    await run('tar', ['-xf', archive, '-C', tree]);
    const found = await Promise.all(
      paths.map(async (path) => (existsSync(join(tree, path)) ? loadServices(join(tree, path), tree) : [])),
    );
    return found.flat();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function git(cwd: string, args: readonly string[]): Promise<string> {
  try {
    return (await run('git', [...args], { cwd, maxBuffer: LARGEST_DOCUMENT })).stdout;
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new PostcommitError(
      'config-invalid',
      `git ${args[0]} failed: ${stderr?.trim().split('\n')[0] || messageOf(error)}`,
      '--against takes a file, a git ref (main, v1.2.0), or a document in git (main:docs/asyncapi.json). In CI, fetch that ref first.',
      { cause: error },
    );
  }
}
