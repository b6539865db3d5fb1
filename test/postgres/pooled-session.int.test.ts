import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/embedded/index.ts';
import { openSession, type Session } from '../../src/postgres/session.ts';
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import { query } from '../support/query.ts';
import { startPostgres } from '../support/services.ts';

let postgres: EmbeddedPostgres;
let pooler: PgBouncer;
let url: string;

beforeAll(async () => {
  postgres = await startPostgres();
  pooler = await startPgBouncer({ port: postgres.port, poolSize: 1 });
  url = pooler.urlOf(postgres.url);
  await query(postgres.url, 'create table numbers (n int primary key)');
});
afterAll(async () => {
  await pooler[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

const settings = {
  synchronous_commit: 'local',
  enable_seqscan: 'off',
  statement_timeout: '1234ms',
  search_path: 'public',
};
const SHOW = `select current_setting('synchronous_commit'), current_setting('enable_seqscan'),
  current_setting('statement_timeout'), current_setting('transaction_isolation')`;
const CARRIED = [['local', 'off', '1234ms', 'read committed']];

test('a direct session is told from one behind a transaction or a session pooler', async () => {
  await using sessionPooler = await startPgBouncer({ port: postgres.port, mode: 'session' });
  const direct = await open(postgres.url);
  const behind = await open(url);
  const sessions = await open(sessionPooler.urlOf(postgres.url));
  expect([direct.pooled, behind.pooled, sessions.pooled]).toEqual([false, true, true]);
  expect(direct.backendPid).toBe(Number((await direct.query({ text: 'select pg_backend_pid()' }))[0]?.[0]));
  expect(behind.backendPid).toBeNull();
  for (const session of [direct, behind, sessions]) {
    expect(await session.query({ text: SHOW })).toEqual(CARRIED);
    await session.close();
  }
});

test('every statement has the settings, whatever the last user of the backend left, and leaves none behind', async () => {
  await query(url, "set default_transaction_isolation = 'serializable'; set synchronous_commit = off");
  const session = await open(url);
  expect(await session.query({ text: SHOW, name: 'show' })).toEqual(CARRIED);
  expect(await query(url, SHOW)).toEqual([['off', 'on', '0', 'serializable']]);
  expect(await session.query({ text: SHOW, name: 'show' })).toEqual(CARRIED);
  expect(await query(url, 'select count(*)::int from pg_prepared_statements')).toEqual([[0]]);
  await session.close();
});

test('a statement is a transaction of its own; one that fails spoils nothing', async () => {
  const session = await open(url);
  const insert = (n: number) =>
    session.query({ text: 'insert into numbers values ($1) returning n', values: [n] });
  const answers = await Promise.allSettled([insert(1), insert(1), insert(2)]);
  expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(await session.query({ text: 'select n from numbers order by n' })).toEqual([['1'], ['2']]);
  expect(session.failed).toBe(false);
  await session.close();
});

test('what lies between begin and commit is one transaction, with the settings', async () => {
  const session = await open(url);
  await session.query({ text: 'begin' });
  await session.query({ text: 'insert into numbers values (10)' });
  expect(await session.query({ text: SHOW })).toEqual(CARRIED);
  await session.query({ text: 'rollback' });
  await session.query({ text: 'begin' });
  await session.query({ text: 'insert into numbers values (11)' });
  await session.query({ text: 'commit' });
  await session.query({ text: 'begin' });
  await session.query({ text: 'insert into numbers values (12)' });
  await expect(session.query({ text: 'insert into numbers values (11)' })).rejects.toThrow('duplicate key');
  await session.query({ text: 'rollback' });
  expect(await session.query({ text: 'select n from numbers where n >= 10' })).toEqual([['11']]);
  await session.close();
});

test('a transaction in one text has the settings, and is over with the message', async () => {
  const session = await open(url);
  await session.query({
    text: "begin isolation level read committed; insert into numbers values (20); create table shown as select current_setting('enable_seqscan') as seqscan; commit",
  });
  expect(await session.query({ text: 'select seqscan, n from shown, numbers where n = 20' })).toEqual([
    ['off', '20'],
  ]);
  await expect(
    session.query({ text: 'begin; insert into numbers values (21), (20); commit' }),
  ).rejects.toThrow('duplicate key');
  expect(await session.query({ text: 'rollback' })).toEqual([]);
  expect(await session.query({ text: 'select n from numbers where n > 20' })).toEqual([]);
  await session.close();
});

test('a WARNING is a failure where it is asked for', async () => {
  const session = await open(url);
  const warning = { text: "do $$ begin raise warning 'the wait was cancelled'; end $$" };
  await expect(session.queryStrictly(warning)).rejects.toThrow('the wait was cancelled');
  await session.query(warning);
  expect(await session.queryStrictly({ text: 'select 1' })).toEqual([['1']]);
  await session.close();
});

async function connected(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: postgres.url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

test.each<{ crash: string; bringAbout: () => Promise<void> }>([
  {
    crash: 'a crash of the server',
    async bringAbout() {
      await postgres.stop('immediate');
      await postgres.start();
    },
  },
  {
    crash: 'the crash of another backend',
    async bringAbout() {
      const [victim, witness] = await Promise.all([connected(), connected()]);
      const { rows } = await victim.query('select pg_backend_pid() as pid');
      process.kill(rows[0].pid, 'SIGKILL');
      // The server ends it once it has noticed; until then it answers as if nothing had happened.
      await new Promise((resolve) => witness.once('end', resolve));
      await expect
        .poll(() => query(postgres.url, 'select 1').catch(() => []), { timeout: 10_000 })
        .toEqual([[1]]);
    },
  },
])('$crash ends a session that the pooler keeps', async ({ bringAbout }) => {
  const session = await open(url);
  await session.query({ text: SHOW });
  await bringAbout();
  const lost: Error[] = [];
  session.onFailure((error) => lost.push(error));
  const insert = { text: 'insert into numbers values (30)' };
  await expect
    .poll(() => session.query(insert).then(String, (error: Error) => error.message), { timeout: 10_000 })
    .toMatch(/has crashed, or another one has taken its place|has failed before/);
  expect(session.failed).toBe(true);
  expect(lost.length).toBe(1);
  expect(await query(postgres.url, 'select n from numbers where n = 30')).toEqual([]);
  await session.close();
  const next = await open(url);
  expect(await next.query({ text: SHOW })).toEqual(CARRIED);
  await next.close();
});

test('an orderly restart of the server ends none', async () => {
  const session = await open(url);
  await postgres.stop();
  await postgres.start();
  const show = () => session.query({ text: SHOW }).catch(() => []);
  await expect.poll(show, { timeout: 10_000 }).toEqual(CARRIED);
  await session.close();
});

function open(at: string): Promise<Session> {
  return openSession({ url: at, name: 'test', settings });
}
