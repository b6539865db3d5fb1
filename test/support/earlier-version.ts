import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../src/embedded/process.ts';

const ROOT = join(import.meta.dirname, '..', '..');

/** An earlier state of this repository beside the present one, run with the packages of the present one. */
export interface EarlierVersion extends AsyncDisposable {
  /** Of its command line. */
  readonly main: string;
  readonly folder: string;
  /** Names of the migrations it knows, oldest first. */
  readonly migrations: readonly string[];
  /** Brings a database up to its schema. */
  migrate(databaseUrl: string): Promise<void>;
}

/** From the history of this checkout. @throws Error when that does not go back so far. */
export async function checkOutEarlier(commit: string): Promise<EarlierVersion> {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-earlier-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const archive = join(folder, 'earlier.tar');
    const paths = ['src', 'migrations', 'package.json', 'tsconfig.json'];
    await run('git', ['-C', ROOT, 'archive', `--output=${archive}`, commit, ...paths]);
    await run('tar', ['-xf', archive, '-C', folder]);
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    const main = join(folder, 'src', 'cli', 'main.ts');
    const listed = await run('git', ['-C', ROOT, 'ls-tree', '--name-only', commit, 'migrations/']);
    return {
      main,
      folder,
      migrations: [...listed.matchAll(/^migrations\/(.+)\.sql$/gm)].map(([, name = '']) => name),
      async migrate(databaseUrl) {
        await run('env', [`DATABASE_URL=${databaseUrl}`, process.execPath, main, 'migrate']);
      },
      [Symbol.asyncDispose]: remove,
    };
  } catch (cause) {
    await remove();
    throw new Error(
      `tests of upgrades run ${commit}, an earlier state of this repository, and its history does not have it: clone it in full (git fetch --unshallow)`,
      { cause },
    );
  }
}
