import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrate, missingMigrations } from '../../src/migrate/index.ts';
import { MIGRATIONS } from '../support/migrations.ts';
import { query } from '../support/query.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/services.ts';

const run = promisify(execFile);
const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const FOLDER = new URL('../../migrations', import.meta.url).pathname;

let database: ScratchDatabase;
beforeEach(async () => {
  database = await createScratchDatabase();
});
afterEach(() => database.drop());

async function objects(): Promise<unknown[]> {
  const rows = await query(
    database.url,
    `select c.relname, c.relkind::text from pg_class c where c.relnamespace = to_regnamespace('postcommit')
     union all select p.proname, 'function' from pg_proc p where p.pronamespace = to_regnamespace('postcommit')
     order by 1, 2`,
  );
  return rows;
}

async function recorded(): Promise<unknown[]> {
  return await query(database.url, 'select hash, created_at from postcommit.migrations order by id');
}

test('an empty database is migrated, and a second run finds nothing to do', async () => {
  const first = await migrate({ url: database.url });
  expect(first.applied).toEqual(MIGRATIONS);
  const before = await objects();
  expect(before.length).toBeGreaterThan(20);
  expect(await migrate({ url: database.url })).toEqual({
    applied: [],
    maxPayload: null,
    sql: '',
    warnings: [],
  });
  expect(await objects()).toEqual(before);
  expect(await recorded()).toHaveLength(MIGRATIONS.length);
});

test('ten processes that start at once migrate once', async () => {
  const env = { ...process.env, DATABASE_URL: database.url };
  const outputs = await Promise.all(
    Array.from({ length: 10 }, () => run(process.execPath, [MAIN, 'migrate', '--json'], { env })),
  );
  const applied = outputs.flatMap(({ stdout }) => (JSON.parse(stdout) as { applied: string[] }).applied);
  expect(applied).toEqual(MIGRATIONS);
  expect(await recorded()).toHaveLength(MIGRATIONS.length);
});

test('ten connections that start at once migrate once', async () => {
  const results = await Promise.all(Array.from({ length: 10 }, () => migrate({ url: database.url })));
  expect(results.flatMap(({ applied }) => applied)).toEqual(MIGRATIONS);
});

test('a dry run changes nothing, and its script does what a run does', async () => {
  const dry = await migrate({ url: database.url, dryRun: true, maxPayload: 5_000 });
  expect(dry.applied).toEqual(MIGRATIONS);
  expect(await objects()).toEqual([]);
  await query(database.url, dry.sql);
  expect(await migrate({ url: database.url, maxPayload: 5_000, dryRun: true })).toMatchObject({
    applied: [],
    sql: '',
  });
  const byScript = [await objects(), await recorded()];
  await query(database.url, 'drop schema postcommit cascade');
  await migrate({ url: database.url, maxPayload: 5_000 });
  expect([await objects(), await recorded()]).toEqual(byScript);
});

test('missing migrations are named, until there are none', async () => {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    expect(await missingMigrations(client)).toEqual(MIGRATIONS);
    await migrate({ client });
    expect(await missingMigrations(client)).toEqual([]);
    await client.query('begin');
    await expect(migrate({ client })).rejects.toMatchObject({ code: 'database-unsuitable' });
    await client.query('rollback');
  } finally {
    await client.end();
  }
});

test('the maximum payload is changed only when it differs, and the outbox obeys it', async () => {
  expect((await migrate({ url: database.url, maxPayload: 100 })).maxPayload).toEqual({
    from: 1_000_000,
    to: 100,
  });
  expect((await migrate({ url: database.url, maxPayload: 100 })).sql).toBe('');
  const write = (bytes: number) =>
    query(
      database.url,
      `insert into postcommit.outbox (subject, payload) values ('a', repeat('x', ${bytes})::bytea)`,
    );
  await write(100);
  await expect(write(101)).rejects.toThrow('larger than the limit of 100 bytes');
  expect((await migrate({ url: database.url })).maxPayload).toBeNull();
  const raised = await migrate({ url: database.url, maxPayload: 2_000_000 });
  expect(raised.maxPayload).toEqual({ from: 100, to: 2_000_000 });
  expect(raised.warnings.join()).toContain('raise its max_payload');
  await write(101);
});

test.each([0, -1, 1.5, 67_108_865, Number.NaN])('a maximum payload of %s is refused', async (maxPayload) => {
  await expect(migrate({ url: database.url, maxPayload })).rejects.toMatchObject({ code: 'config-invalid' });
  expect(await objects()).toEqual([]);
});

test('a database that is newer than the code is refused and left alone', async () => {
  await migrate({ url: database.url });
  await query(
    database.url,
    `insert into postcommit.migrations (hash, created_at) values ('later', 9999999999999)`,
  );
  await expect(migrate({ url: database.url, maxPayload: 7 })).rejects.toMatchObject({
    code: 'database-unsuitable',
    message: expect.stringContaining('newer than this version'),
  });
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  // A relay of the version before goes on during a roll-out.
  expect(await missingMigrations(client)).toEqual([]);
  await client.end();
});

test("somebody else's schema of that name is refused and left alone", async () => {
  await query(database.url, 'create schema postcommit; create table postcommit.outbox (id int)');
  await expect(migrate({ url: database.url })).rejects.toMatchObject({
    code: 'database-unsuitable',
    message: expect.stringContaining('was not made by these migrations'),
  });
  expect(await objects()).toHaveLength(1);
});

test('an edited migration is refused', async () => {
  await migrate({ url: database.url });
  await query(database.url, `update postcommit.migrations set hash = 'other'`);
  await expect(migrate({ url: database.url })).rejects.toThrow('is not the one that database');
});

test('a later migration that fails leaves everything as it was', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-migrations-'));
  try {
    await cp(FOLDER, folder, { recursive: true });
    const journalPath = join(folder, 'meta', '_journal.json');
    const journal = JSON.parse(await readFile(journalPath, 'utf8')) as { entries: object[] };
    journal.entries.push({
      idx: 1,
      version: '7',
      when: 1_895_467_665_920,
      tag: '0001_later',
      breakpoints: true,
    });
    await writeFile(journalPath, JSON.stringify(journal));
    const later = join(folder, '0001_later.sql');
    await writeFile(later, 'create table postcommit.later ();\n--> statement-breakpoint\nselect 1 / 0;');
    await expect(migrate({ url: database.url, folder })).rejects.toMatchObject({
      code: 'database-unsuitable',
    });
    expect(await objects()).toEqual([]);
    await migrate({ url: database.url });
    await writeFile(later, 'create table postcommit.later ();');
    expect((await migrate({ url: database.url, folder })).applied).toEqual(['0001_later']);
    await expect(migrate({ url: database.url })).rejects.toThrow('newer than this version');
  } finally {
    await rm(folder, { recursive: true });
  }
});
