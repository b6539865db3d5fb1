import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate as drizzleMigrate } from 'drizzle-orm/node-postgres/migrator';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrate } from '../../src/migrate/index.ts';
import { MIGRATIONS } from '../support/migrations.ts';
import { query } from '../support/query.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/services.ts';

const FOLDER = new URL('../../migrations', import.meta.url).pathname;

let database: ScratchDatabase;
let folder: string;
beforeEach(async () => {
  database = await createScratchDatabase();
  folder = await mkdtemp(join(tmpdir(), 'postcommit-drizzle-'));
  await cp(FOLDER, folder, { recursive: true });
});
afterEach(async () => {
  await database.drop();
  await rm(folder, { recursive: true });
});

/** As `drizzle-kit migrate` with our `drizzle.config.ts`, which calls the same function. */
async function migrateWithDrizzle(): Promise<void> {
  const db = drizzle(database.url);
  try {
    await drizzleMigrate(db, {
      migrationsFolder: folder,
      migrationsSchema: 'postcommit',
      migrationsTable: 'migrations',
    });
  } finally {
    await db.$client.end();
  }
}

async function recorded(): Promise<unknown[]> {
  return [
    ...(await query(database.url, 'select id, hash, created_at from postcommit.migrations order by id')),
  ];
}

async function columns(): Promise<unknown[]> {
  const rows = await query(
    database.url,
    `select column_name, data_type, is_nullable, column_default from information_schema.columns
     where table_schema = 'postcommit' and table_name = 'migrations' order by ordinal_position`,
  );
  return rows;
}

test('drizzle-orm finds nothing to do after postcommit migrate', async () => {
  await migrate({ url: database.url, folder });
  const before = await recorded();
  await migrateWithDrizzle();
  expect(await recorded()).toEqual(before);
});

test('postcommit migrate finds nothing to do after drizzle-orm, and both record the same', async () => {
  await migrateWithDrizzle();
  const byDrizzle = [await recorded(), await columns()];
  expect((await migrate({ url: database.url, folder })).applied).toEqual([]);
  await query(database.url, 'drop schema postcommit cascade');
  await migrate({ url: database.url, folder });
  expect([await recorded(), await columns()]).toEqual(byDrizzle);
});

test('each goes on where the other stopped', async () => {
  const add = async (idx: number, when: number) => {
    const path = join(folder, 'meta', '_journal.json');
    const journal = JSON.parse(await readFile(path, 'utf8')) as { entries: object[] };
    journal.entries.push({ idx, version: '7', when, tag: `000${idx}_more`, breakpoints: true });
    await writeFile(path, JSON.stringify(journal));
    await writeFile(join(folder, `000${idx}_more.sql`), `create table postcommit.more_${idx} ();`);
  };
  await migrate({ url: database.url, folder });
  await add(1, 1_895_467_665_921);
  await migrateWithDrizzle();
  await add(2, 1_895_467_665_922);
  expect((await migrate({ url: database.url, folder })).applied).toEqual(['0002_more']);
  expect(await recorded()).toHaveLength(MIGRATIONS.length + 2);
});
