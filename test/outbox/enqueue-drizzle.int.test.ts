import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { enqueue, type TransactionHandle } from '../../src/index.ts';
import { outbox } from '../../src/schema.ts';
import { createMigratedDatabase, type ScratchDatabase } from '../support/services.ts';

let database: ScratchDatabase;
let pool: pg.Pool;
const open = () => drizzle(pool);
let db: ReturnType<typeof open>;

beforeAll(async () => {
  database = await createMigratedDatabase();
  pool = new pg.Pool({ connectionString: database.url });
  // end() does not wait for the sockets, and dropping the database ends the sessions behind them.
  pool.on('error', () => undefined);
  db = open();
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});
beforeEach(async () => {
  await db.delete(outbox);
});

const subjects = async () =>
  (await db.select().from(outbox).orderBy(outbox.position)).map((row) => row.subject);

test('a Drizzle transaction takes one event and many, in order', async () => {
  const [one, many] = await db.transaction(async (tx) => [
    await enqueue(tx, { subject: 'events.a', payload: 1, key: 'k' }),
    await enqueue(tx, [
      { subject: 'events.b', payload: '$1 $2' },
      { subject: 'events.c', payload: new Uint8Array([0]) },
    ]),
  ]);
  const rows = await db.select().from(outbox).orderBy(outbox.position);
  expect(rows.map((row) => row.eventId)).toEqual([one, ...many]);
  expect(rows.map((row) => row.key)).toEqual(['k', null, null]);
  expect(rows.map((row) => Buffer.from(row.payload).toString())).toEqual(['1', '"$1 $2"', '\u0000']);
});

test('its rollback takes the events with it, also that of a nested one', async () => {
  await db
    .transaction(async (tx) => {
      await enqueue(tx, { subject: 'events.a', payload: 1 });
      tx.rollback();
    })
    .catch(() => undefined);
  await db.transaction(async (tx) => {
    await enqueue(tx, { subject: 'events.kept', payload: 1 });
    const nested = tx.transaction(async (inner) => {
      await enqueue(inner, { subject: 'events.b', payload: 1 });
      inner.rollback();
    });
    await nested.catch(() => undefined);
  });
  expect(await subjects()).toEqual(['events.kept']);
});

test('a Drizzle database without a transaction is refused', async () => {
  const refusal = enqueue(db as unknown as TransactionHandle, { subject: 'events.a', payload: 1 });
  await expect(refusal).rejects.toMatchObject({
    code: 'outside-transaction',
    hint: expect.stringContaining('db.transaction'),
  });
  expect(await subjects()).toEqual([]);
});

test('what the database refuses comes out without the payload', async () => {
  const secret = 'secret'.repeat(200_000);
  const error = await db
    .transaction((tx) => enqueue(tx, { subject: 'events.a', payload: secret }))
    .catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    code: 'event-invalid',
    message: expect.stringContaining('larger than the limit'),
  });
  expect(JSON.stringify(error, Object.getOwnPropertyNames(error)).length).toBeLessThan(10_000);
});
