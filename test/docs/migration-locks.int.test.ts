import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { expect, test } from 'vitest';
import { migrate } from '../../src/migrate/index.ts';
import { MIGRATIONS_FOLDER } from '../../src/migrate/migration-files.ts';
import { MIGRATIONS } from '../support/migrations.ts';
import { createScratchDatabase } from '../support/services.ts';
import { codeIn, ROOT, tableBelow } from './pages.ts';

/** Modes that keep a statement waiting which writes rows. */
const BLOCKING = ['ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'];

test('the table of migrations lists every one, with the tables whose writers it keeps waiting', async () => {
  const database = await createScratchDatabase();
  const parent = await mkdtemp(join(tmpdir(), 'postcommit-locks-'));
  const seen: string[][] = [];
  try {
    for (const name of MIGRATIONS) {
      const folder = await folderUpTo(parent, name);
      seen.push([name, ...(await tablesLockedBy(database.url, folder))]);
      await migrate({ url: database.url, folder });
    }
  } finally {
    await rm(parent, { recursive: true });
    await database.drop();
  }
  const listed = tableBelow('docs/operations.md', 'What a migration locks').map(([name, tables]) => [
    ...codeIn(name),
    ...codeIn(tables),
  ]);
  expect(listed).toEqual(seen);
  // Writers wait for one alone, and it gives up soon.
  const locking = seen.filter((tables) => tables.includes('outbox')).map(([name]) => name);
  expect(locking).toEqual(['0006_nobody_shadows']);
  const text = await readFile(join(MIGRATIONS_FOLDER, '0006_nobody_shadows.sql'), 'utf8');
  expect(text.indexOf("SET LOCAL lock_timeout = '500ms'")).toBeGreaterThan(0);
  expect(text.indexOf('ALTER TABLE postcommit.outbox')).toBeGreaterThan(text.indexOf('lock_timeout'));
});

async function tablesLockedBy(url: string, folder: string): Promise<string[]> {
  const { sql } = await migrate({ url, folder, dryRun: true });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows: before } = await client.query<{ oid: string }>(
      `SELECT c.oid::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'postcommit' AND relkind IN ('r', 'p')`,
    );
    await client.query(sql.replace(/COMMIT;\s*$/, ''));
    const { rows } = await client.query<{ name: string }>(
      `SELECT DISTINCT c.relname AS name FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
        WHERE l.pid = pg_backend_pid() AND l.mode = ANY ($1) AND c.oid::text = ANY ($2) ORDER BY 1`,
      [BLOCKING, before.map(({ oid }) => oid)],
    );
    await client.query('ROLLBACK');
    return rows.map(({ name }) => name);
  } finally {
    await client.end();
  }
}

/** The migrations folder as it was when this one was the newest. */
async function folderUpTo(parent: string, name: string): Promise<string> {
  const folder = join(parent, name);
  await cp(join(ROOT, 'migrations'), folder, { recursive: true });
  const path = join(folder, 'meta', '_journal.json');
  const journal = JSON.parse(await readFile(path, 'utf8'));
  journal.entries.length = MIGRATIONS.indexOf(name) + 1;
  await writeFile(path, JSON.stringify(journal));
  return folder;
}
