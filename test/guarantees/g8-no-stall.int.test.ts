import pg from 'pg';
import { expect, test } from 'vitest';
import { FAITHFUL, insertEvents, openOutbox } from '../support/outbox-harness.ts';
import { query } from '../support/query.ts';
import { startPostgres } from '../support/services.ts';

/** Above what the relay needs for a handful of events, on a machine that runs other tests, too. */
const SOON = { withinMs: 5_000 };

test('G8: long transactions, in the outbox, elsewhere in the cluster, and prepared, delay nothing but their own events', async () => {
  await using server = await startPostgres({ settings: { max_prepared_transactions: '4' } });
  await using outbox = await openOutbox({ databaseUrl: server.url });
  await outbox.startRelay();
  const { subject } = outbox;

  const long = await outbox.connect();
  await long.query('begin isolation level repeatable read');
  await insertEvents(long, subject, 300, 'long');
  const preparing = await outbox.connect();
  await preparing.query('begin');
  await preparing.query('set local postcommit.notify = off');
  await insertEvents(preparing, subject, 200, 'prepared');
  await preparing.query(`prepare transaction 'waiting'`);
  await using elsewhere = await openElsewhere(server.url);
  await elsewhere.client.query('begin isolation level repeatable read');
  await elsewhere.client.query('create table held (a int)');

  const writer = await outbox.connect();
  for (let i = 1; i <= 10; i++) {
    await insertEvents(writer, subject, 10, `short ${i}`);
    await outbox.untilStored(10 * i, SOON);
  }
  // Rows of theirs come and go between those of others.
  await insertEvents(long, subject, 5, 'long again');
  await insertEvents(writer, subject, 10, 'short 11');
  await outbox.untilStored(110, SOON);
  const names = new Set((await outbox.messages()).map(({ payload }) => payload.split(' ')[0]));
  expect([...names]).toEqual(['short']);

  await long.query('commit');
  await outbox.untilStored(110 + 305, SOON);
  await writer.query(`commit prepared 'waiting'`);
  await outbox.untilStored(110 + 305 + 200, SOON);
  expect((await elsewhere.client.query('select count(*)::int from held')).rows).toEqual([{ count: 0 }]);
  expect(await outbox.compare()).toEqual({ committed: 615, ...FAITHFUL });
});

/** A session in another database of the same server. */
async function openElsewhere(url: string): Promise<AsyncDisposable & { client: pg.Client }> {
  await query(url, 'create database elsewhere');
  const other = new URL(url);
  other.pathname = '/elsewhere';
  const client = new pg.Client({ connectionString: other.href });
  await client.connect();
  return { client, [Symbol.asyncDispose]: () => client.end() };
}
