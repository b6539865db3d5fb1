import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type InboxRecord, judgeRecord, recordNew, recordText } from '../../src/inbox/record.ts';
import { recogniseTransaction, type TransactionHandle } from '../../src/postgres/transaction-handle.ts';
import { createMigratedDatabase, type ScratchDatabase } from '../support/services.ts';

let database: ScratchDatabase;
let pool: pg.Pool;

beforeAll(async () => {
  database = await createMigratedDatabase();
  pool = new pg.Pool({ connectionString: database.url });
  // end() does not wait for the sockets, and dropping the database ends the sessions behind them.
  pool.on('error', () => undefined);
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});
beforeEach(async () => {
  await pool.query('TRUNCATE postcommit.inbox');
});

type Draft = Partial<InboxRecord & { readonly consumer: string }>;

async function recordIn(
  handle: TransactionHandle,
  { consumer = 'billing', ...more }: Draft = {},
): Promise<boolean> {
  const events = [{ eventId: 'e1', stream: 's', sequence: 1, ...more }];
  const recorded = await recordNew(recogniseTransaction(handle), { consumer, events });
  return recorded.kind === 'recorded' && recorded.fresh.size === 1;
}

async function recordAll(
  client: pg.PoolClient,
  events: readonly InboxRecord[],
): Promise<ReadonlySet<string>> {
  const recorded = await recordNew(recogniseTransaction(client), { consumer: 'billing', events });
  if (recorded.kind === 'deposed') throw new Error('nobody took over');
  return recorded.fresh;
}

async function begin(): Promise<{ client: pg.PoolClient; end(statement: string): Promise<void> }> {
  const client = await pool.connect();
  await client.query('BEGIN');
  return {
    client,
    async end(statement) {
      await client.query(statement);
      client.release();
    },
  };
}

async function inTransaction<Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
  const { client, end } = await begin();
  const result = await work(client);
  await end('COMMIT');
  return result;
}

const recordOne = (more?: Draft) => inTransaction((client) => recordIn(client, more));

test('an event is new once for each consumer', async () => {
  expect(await recordOne()).toBe(true);
  expect(await recordOne({ sequence: 2 })).toBe(false);
  expect(await recordOne({ consumer: 'mailing' })).toBe(true);
  const { rows } = await pool.query(
    'SELECT consumer, event_id, stream, sequence FROM postcommit.inbox ORDER BY 1',
  );
  expect(rows).toEqual([
    // A copy further back: the row is needed as long as the stream holds that.
    { consumer: 'billing', event_id: 'e1', stream: 's', sequence: '2' },
    { consumer: 'mailing', event_id: 'e1', stream: 's', sequence: '1' },
  ]);
});

test('what rolled back is new again', async () => {
  const { client, end } = await begin();
  expect(await recordIn(client)).toBe(true);
  await end('ROLLBACK');
  expect(await recordOne()).toBe(true);
});

test.each([
  ['COMMIT', false],
  ['ROLLBACK', true],
])('a second transaction waits for the outcome of the first: %s', async (outcome, isNew) => {
  const first = await begin();
  await recordIn(first.client);
  const second = recordOne();
  const blocked =
    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
  await expect.poll(async () => (await pool.query(blocked)).rowCount).toBe(1);
  await first.end(outcome);
  expect(await second).toBe(isNew);
});

test('of many events the new ones are told, also within one call', async () => {
  await recordOne({ eventId: 'known' });
  const events = ['a', 'known', 'b', 'a'].map((eventId, i) => ({ eventId, stream: 's', sequence: 10 + i }));
  const fresh = await inTransaction((client) => recordAll(client, events));
  expect([...fresh].sort()).toEqual(['a', 'b']);
  const { rows } = await pool.query(
    "SELECT event_id, sequence FROM postcommit.inbox WHERE event_id <> 'known'",
  );
  expect(rows).toHaveLength(2);
});

test('overlapping batches in opposite orders wait for each other and do not deadlock', async () => {
  const events = Array.from({ length: 500 }, (_, i) => ({ eventId: `e${i}`, stream: 's', sequence: i }));
  const run = (batch: typeof events) => inTransaction((client) => recordAll(client, batch));
  const sizes = await Promise.all([
    run(events),
    run(events.toReversed()),
    run(events),
    run(events.toReversed()),
  ]);
  expect(sizes.map((fresh) => fresh.size).sort((a, b) => a - b)).toEqual([0, 0, 0, 500]);
});

test('it records through a Drizzle transaction too', async () => {
  const db = drizzle(pool);
  const once = () => db.transaction((tx) => recordIn(tx));
  expect([await once(), await once()]).toEqual([true, false]);
});

test('the SQL function for other languages answers the same', async () => {
  const { rows } = await pool.query(`
    SELECT postcommit.inbox_record('c', 'e') AS first, postcommit.inbox_record('c', 'e', 's', 7) AS again,
           postcommit.inbox_record('d', 'e', 's', 7) AS other, postcommit.inbox_record('d', 'e', 's', 9) AS copy,
           postcommit.inbox_record('d', 'e', 's', 8) AS earlier`);
  expect(rows).toEqual([{ first: true, again: false, other: true, copy: false, earlier: false }]);
  const places = await pool.query(`SELECT sequence FROM postcommit.inbox WHERE consumer = 'd'`);
  expect(places.rows).toEqual([{ sequence: '9' }]);
  expect(await recordOne({ consumer: 'd', eventId: 'e' })).toBe(false);
});

test('said in one text, a record says the same; what no text can say is left to parameters', async () => {
  const options = { consumer: `con'sumer`, events: [{ eventId: "a'b\\c $1", stream: 's"', sequence: 7 }] };
  const many = { ...options, events: [...options.events, { eventId: 'second', stream: 's"', sequence: 8 }] };
  await inTransaction(async (client) => {
    const transaction = recogniseTransaction(client);
    const { rows } = await client.query(recordText(options) ?? '');
    expect(await judgeRecord(transaction, options, rows)).toEqual({
      kind: 'recorded',
      fresh: new Set(["a'b\\c $1"]),
    });
    const second = await client.query(recordText(many) ?? '');
    expect(await judgeRecord(transaction, many, second.rows)).toEqual({
      kind: 'recorded',
      fresh: new Set(['second']),
    });
    const again = await client.query(recordText(options) ?? '');
    expect(await judgeRecord(transaction, options, again.rows)).toEqual({
      kind: 'recorded',
      fresh: new Set(),
    });
  });
  const nul = { consumer: 'c', events: [{ eventId: 'a\0b', stream: 's', sequence: 1 }] };
  expect(recordText(nul)).toBeUndefined();
  const { rows } = await pool.query(
    'select consumer, event_id, stream, sequence::int from postcommit.inbox order by sequence',
  );
  expect(rows).toEqual([
    { consumer: `con'sumer`, event_id: "a'b\\c $1", stream: 's"', sequence: 7 },
    { consumer: `con'sumer`, event_id: 'second', stream: 's"', sequence: 8 },
  ]);
});
