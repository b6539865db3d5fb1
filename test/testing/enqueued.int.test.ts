import { AssertionError } from 'node:assert';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { defineEvent, enqueue } from '../../src/index.ts';
import { assertEnqueued, enqueuedIn } from '../../src/testing/index.ts';
import { LIBRARIES } from '../outbox/adapters/libraries.ts';
import { createMigratedDatabase, type ScratchDatabase, scratchName } from '../support/services.ts';

let database: ScratchDatabase;
let pool: pg.Pool;
let client: pg.PoolClient;

beforeAll(async () => {
  database = await createMigratedDatabase();
  pool = new pg.Pool({ connectionString: database.url });
  pool.on('error', () => undefined);
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});
beforeEach(async () => {
  client = await pool.connect();
  await client.query('BEGIN');
  onTestFinished(async () => {
    await client.query('ROLLBACK');
    client.release();
  });
});

const subjectsIn = async (tx: Parameters<typeof enqueuedIn>[0]) =>
  (await enqueuedIn(tx)).map(({ subject }) => subject);

test('what was written comes back as it was written, in order, by enqueue() and by SQL', async () => {
  expect(await enqueuedIn(client)).toEqual([]);
  const eventId = randomUUID();
  await enqueue(client, [
    { eventId, subject: 'events.a', payload: { n: 1 }, key: 'p7', type: 'a.b', headers: { tenant: 'x' } },
    { subject: 'events.b', payload: Buffer.from([0, 255, 10]) },
  ]);
  await client.query("SELECT postcommit.enqueue('events.c', '[1, 2]')");
  const events = await enqueuedIn(client);
  expect(events).toMatchObject([
    { id: eventId, subject: 'events.a', key: 'p7', type: 'a.b', headers: { tenant: 'x' } },
    { subject: 'events.b', key: null, type: null, headers: {}, payload: Buffer.from([0, 255, 10]) },
    { subject: 'events.c' },
  ]);
  expect([events[0]?.json(), events[2]?.json()]).toEqual([{ n: 1 }, [1, 2]]);
  const [first = 0, second = 0] = events.map(({ position }) => position);
  expect(second).toBe(first + 1);
});

test('savepoints: what was released counts, at any depth, and what was rolled back does not', async () => {
  await client.query('SAVEPOINT one');
  await enqueue(client, { subject: 'events.released', payload: 1 });
  await client.query('SAVEPOINT two');
  await enqueue(client, { subject: 'events.deep', payload: 1 });
  await client.query('RELEASE two; RELEASE one; SAVEPOINT three');
  await enqueue(client, { subject: 'events.gone', payload: 1 });
  await client.query('ROLLBACK TO three');
  await enqueue(client, { subject: 'events.after', payload: 1 });
  expect(await subjectsIn(client)).toEqual(['events.released', 'events.deep', 'events.after']);
});

test.each(['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'])(
  'nothing of other transactions is among them, whether they commit before, meanwhile or never (%s)',
  async (level) => {
    await client.query(`ROLLBACK; BEGIN ISOLATION LEVEL ${level}`);
    const [other, third] = [await pool.connect(), await pool.connect()];
    onTestFinished(async () => {
      await third.query('ROLLBACK');
      other.release();
      third.release();
    });
    const written = (subject: string) => ({ subject, payload: 1 });
    await pool.query("SELECT postcommit.enqueue('events.before', '1')");
    await other.query('BEGIN');
    await third.query('BEGIN');
    await enqueue(other, written('events.other'));
    await enqueue(third, written('events.third'));
    await enqueue(client, written('events.mine'));
    await other.query('COMMIT');
    // A younger transaction, with younger savepoints, has committed by now.
    await pool.query("SELECT postcommit.enqueue('events.younger', '1')");
    await client.query('SAVEPOINT one');
    await enqueue(client, written('events.mine.too'));
    expect(await subjectsIn(client)).toEqual(['events.mine', 'events.mine.too']);
    expect(await subjectsIn(third)).toEqual(['events.third']);
  },
);

test.each(Object.entries(LIBRARIES))('%s: events of its transaction, and none outside', async (_, open) => {
  const library = await open(database.url);
  onTestFinished(() => library[Symbol.asyncDispose]());
  const undo = new Error('undo');
  const written = library.transaction(async ({ tx }) => {
    expect(await enqueuedIn(tx)).toEqual([]);
    await enqueue(tx, [
      { subject: 'events.a', payload: 'Zoë 🏥', key: 'k', headers: { a: '?' } },
      { subject: 'events.b', payload: Buffer.from([0, 255]) },
    ]);
    await assertEnqueued(tx, [
      { subject: 'events.a', payload: 'Zoë 🏥', key: 'k', headers: { a: '?' } },
      { subject: 'events.b', payload: Buffer.from([0, 255]) },
    ]);
    throw undo;
  });
  await expect(written).rejects.toThrow('undo');
});

test('with a handle that can only query', async () => {
  const handle = { query: (text: string, values: unknown[]) => client.query(text, values) };
  await enqueue(handle, { subject: 'events.c', payload: 1 });
  expect(await subjectsIn(handle)).toEqual(['events.c']);
});

test('a handle outside a transaction is refused, also one that cannot tell', async () => {
  const outside = expect.objectContaining({ code: 'outside-transaction' });
  await expect(enqueuedIn(pool as never)).rejects.toEqual(outside);
  const idle = await pool.connect();
  onTestFinished(() => idle.release());
  await expect(enqueuedIn(idle)).rejects.toEqual(outside);
  const autocommit = { query: (text: string, values: unknown[]) => idle.query(text, values) };
  await expect(enqueuedIn(autocommit)).rejects.toEqual(outside);
});

test('a role that may not read the outbox, and a database without one, are said; the transaction goes on', async () => {
  const role = scratchName('writer');
  await client.query(
    `CREATE ROLE ${role}; GRANT USAGE ON SCHEMA postcommit TO ${role};
     GRANT INSERT (event_id, subject, key, type, headers, payload) ON postcommit.outbox TO ${role}; SET LOCAL ROLE ${role}`,
  );
  await expect(enqueuedIn(client)).rejects.toMatchObject({
    code: 'database-unsuitable',
    message: `the role '${role}' may write the outbox and not read it`,
  });
  await client.query('RESET ROLE; ALTER SCHEMA postcommit RENAME TO elsewhere');
  await expect(enqueuedIn(client)).rejects.toMatchObject({ code: 'migration-missing' });
  await client.query('SELECT 1');
});

test('assertEnqueued compares what is given, returns the events, and takes one for a list of one', async () => {
  await assertEnqueued(client, []);
  await enqueue(client, {
    subject: 'events.patient.registered',
    key: 'p7',
    headers: { tenant: 'x', trace: 'y' },
    payload: { id: 'p7', at: new Date(0), names: [{ given: 'Ada', rest: 1 }] },
  });
  const [event] = await assertEnqueued(client, {
    subject: 'events.patient.registered',
    type: null,
    headers: { tenant: 'x' },
    payload: { at: new Date(0), names: [{ given: 'Ada' }], missing: undefined },
  });
  expect(event?.key).toBe('p7');
  await enqueue(client, { subject: 'events.raw', payload: Buffer.from([1, 2]) });
  await assertEnqueued(client, [{}, { payload: new Uint8Array([1, 2]) }]);
});

async function differenceTo(expected: Parameters<typeof assertEnqueued>[1]): Promise<string> {
  const error = await assertEnqueued(client, expected).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(AssertionError);
  return (error as AssertionError).message;
}

test('a declared event is expected as it is enqueued', async () => {
  const moved = defineEvent({
    type: 'patient.moved',
    version: 2,
    subject: 'events.patient.{id}',
    key: 'id',
    schema: z.object({ id: z.string(), ward: z.number().default(1) }),
  });
  await enqueue(client, moved({ id: 'a.b' }));
  await assertEnqueued(client, moved({ id: 'a.b', ward: 1 }));
  await assertEnqueued(client, [{ type: 'patient.moved', headers: { 'Event-Version': '2' } }]);
  for (const other of [{ id: 'a.b', ward: 2 }, { id: 'c' }])
    await expect(assertEnqueued(client, moved(other))).rejects.toBeInstanceOf(AssertionError);
});

test('its error shows the difference of what was expected, and no more of an event', async () => {
  expect(await differenceTo({ subject: 'events.a' })).toMatch(
    /^the transaction has enqueued 0 events, not 1 \(were they written through this `tx`, and awaited\?\)\n/,
  );
  await enqueue(client, { subject: 'events.a', key: 'p7', payload: { id: 'p7', ward: 3, note: 'a secret' } });
  const ward = await differenceTo({ key: 'p7', payload: { id: 'p7', ward: 4 } });
  expect(ward).toContain('the transaction has enqueued other events than expected');
  expect(ward).toMatch(/^\+ +ward: 3$/m);
  expect(ward).toMatch(/^- +ward: 4$/m);
  await enqueue(client, { subject: 'events.b', payload: 'not expected' });
  const second = await differenceTo({ subject: 'events.a' });
  expect(second).toContain('the transaction has enqueued 2 events, not 1');
  expect(second).toContain("subject: 'events.b'");
  for (const text of [ward, second]) expect(text).not.toMatch(/secret|not expected/);
  expect(await differenceTo([{ subject: 'events.b' }, { subject: 'events.a' }])).toContain('other events');
});

test.each([
  ['a longer array', { names: [1, 2, 3] }, { names: [1, 2] }],
  ['a shorter array', { names: [1] }, { names: [1, 2] }],
  ['a missing property', { a: 1 }, { b: 1 }],
  ['another type', { a: '1' }, { a: 1 }],
  ['an object where a value is expected', { a: {} }, { a: 1 }],
  ['null where an object is expected', { a: null }, { a: {} }],
  ['bytes that are no JSON', Buffer.from([255]), { a: 1 }],
  ['other bytes', Buffer.from([1]), Buffer.from([2])],
])('%s is a difference', async (_, payload, expected) => {
  await enqueue(client, { subject: 'events.a', payload });
  await differenceTo({ payload: expected });
});
