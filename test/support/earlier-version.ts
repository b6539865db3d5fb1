import { mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
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

const ARCHIVES = join(import.meta.dirname, 'earlier');

/**
 * What `git archive <commit> src migrations package.json tsconfig.json` made of a commit: kept as a file, because not every
 * checkout has the history.
 */
export async function unpackEarlier(commit: string): Promise<EarlierVersion> {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-earlier-'));
  await run('tar', ['-xzf', join(ARCHIVES, `${commit}.tar.gz`), '-C', folder]);
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const main = join(folder, 'src', 'cli', 'main.ts');
  const files = await readdir(join(folder, 'migrations'));
  return {
    main,
    folder,
    migrations: files
      .filter((name) => name.endsWith('.sql'))
      .map((name) => name.replace(/\.sql$/, ''))
      .sort(),
    async migrate(databaseUrl) {
      await run('env', [`DATABASE_URL=${databaseUrl}`, process.execPath, main, 'migrate']);
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
