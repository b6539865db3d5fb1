import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { enqueue, type OutboxEvent, PostcommitError, type TransactionHandle } from '../../src/index.ts';
import { createMigratedDatabase, type ScratchDatabase } from '../support/services.ts';

let database: ScratchDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createMigratedDatabase();
  client = new pg.Client(database.url);
  await client.connect();
});
afterAll(async () => {
  await client?.end();
  await database?.drop();
});
beforeEach(async () => {
  await client.query('ROLLBACK; TRUNCATE postcommit.outbox');
});

/** Its end() does not wait for the sockets, and dropping the database ends the sessions behind them. */
function openPool(): pg.Pool {
  const pool = new pg.Pool({ connectionString: database.url });
  pool.on('error', () => undefined);
  return pool;
}

const event = (more: Partial<OutboxEvent> = {}): OutboxEvent => ({
  subject: 'events.a',
  payload: { a: 1 },
  ...more,
});

async function stored() {
  const { rows } = await client.query('SELECT * FROM postcommit.outbox ORDER BY position');
  return rows;
}

async function inTransaction<Result>(work: (tx: pg.Client) => Promise<Result>): Promise<Result> {
  await client.query('BEGIN');
  const result = await work(client);
  await client.query('COMMIT');
  return result;
}

describe('one event', () => {
  test('is written as given, and its id returned', async () => {
    const headers = { traceparent: '00-1', 'x-Name': 'Zoë "quoted" \\ back' };
    const id = await inTransaction((tx) =>
      enqueue(tx, event({ key: 'patient-1', type: 'patient.registered', headers })),
    );
    expect(await stored()).toMatchObject([
      { event_id: id, subject: 'events.a', key: 'patient-1', type: 'patient.registered', headers },
    ]);
    expect((await stored())[0].payload.toString()).toBe('{"a":1}');
  });

  test('without key, type and headers has none', async () => {
    await inTransaction((tx) => enqueue(tx, event()));
    expect(await stored()).toMatchObject([{ key: null, type: null, headers: {} }]);
  });

  test('keeps the id it was given, as the database spells it', async () => {
    const eventId = randomUUID();
    expect(await inTransaction((tx) => enqueue(tx, event({ eventId: eventId.toUpperCase() })))).toBe(eventId);
    expect(await stored()).toMatchObject([{ event_id: eventId }]);
  });

  test('disappears with the transaction, and with a savepoint', async () => {
    await client.query('BEGIN');
    await enqueue(client, event());
    await client.query('ROLLBACK');
    await inTransaction(async (tx) => {
      await tx.query('SAVEPOINT s');
      await enqueue(tx, event());
      await tx.query('ROLLBACK TO s');
    });
    expect(await stored()).toEqual([]);
  });

  test.each([
    ['every byte', Uint8Array.from({ length: 256 }, (_, i) => i)],
    ['a part of a larger buffer', new Uint8Array(Uint8Array.from([1, 2, 3, 4, 5]).buffer, 1, 3)],
    ['a Buffer', Buffer.from('postcommit')],
    ['no bytes', new Uint8Array()],
  ])('carries bytes byte for byte: %s', async (_, payload) => {
    await inTransaction((tx) => enqueue(tx, event({ payload })));
    expect(Buffer.compare((await stored())[0].payload, Buffer.from(payload))).toBe(0);
  });

  test.each([[null], [0], [''], ['text'], [[1, 2]], [{ nul: '\u0000', emoji: '🏥' }], [new Date(0)]])(
    'carries %j as JSON',
    async (payload) => {
      await inTransaction((tx) => enqueue(tx, event({ payload })));
      expect((await stored())[0].payload.toString()).toBe(JSON.stringify(payload));
    },
  );
});

describe('many events', () => {
  test('get their positions in the order of the array, with one statement', async () => {
    const statements: string[] = [];
    const events = Array.from({ length: 2_000 }, (_, i) =>
      event({ key: `k${i}`, payload: new Uint8Array([i % 256]) }),
    );
    const ids = await inTransaction(async (tx) => {
      const watched = Object.create(tx, {
        query: {
          value: (text: string, values: unknown[]) => {
            statements.push(text);
            return tx.query(text, values);
          },
        },
      });
      return enqueue(watched, events);
    });
    const rows = await stored();
    expect(rows.map((row) => row.key)).toEqual(events.map(({ key }) => key));
    expect(rows.map((row) => row.event_id)).toEqual(ids);
    expect(statements).toHaveLength(1);
  });

  test('keep their headers, keys and types apart', async () => {
    await inTransaction((tx) =>
      enqueue(tx, [
        event({ headers: { a: '1' } }),
        event({ key: 'k' }),
        event({ type: 't', headers: { b: '2' } }),
      ]),
    );
    expect(await stored()).toMatchObject([
      { headers: { a: '1' }, key: null, type: null },
      { headers: {}, key: 'k', type: null },
      { headers: { b: '2' }, key: null, type: 't' },
    ]);
  });

  test('may be none, or one', async () => {
    expect(await inTransaction((tx) => enqueue(tx, []))).toEqual([]);
    expect(await inTransaction((tx) => enqueue(tx, [event()]))).toEqual([(await stored())[0].event_id]);
  });

  test('are refused as a whole if one is wrong, by its place', async () => {
    await client.query('BEGIN');
    const refusal = enqueue(client, [event(), event({ subject: 'a..b' })]);
    await expect(refusal).rejects.toMatchObject({
      code: 'event-invalid',
      message: expect.stringContaining('event 1 '),
    });
    await client.query('COMMIT');
    expect(await stored()).toEqual([]);
  });

  test('are refused in absurd numbers and sizes, with the way out', async () => {
    await client.query('BEGIN');
    const many = new Array(100_001).fill(event());
    await expect(enqueue(client, many)).rejects.toMatchObject({
      code: 'event-invalid',
      hint: expect.stringContaining('several times'),
    });
    const large = new Array(90).fill(event({ payload: new Uint8Array(1_000_000) }));
    await expect(enqueue(client, large)).rejects.toMatchObject({
      code: 'event-invalid',
      hint: expect.stringContaining('several times'),
    });
  });
});

describe('a handle that is no transaction', () => {
  async function refused(handle: unknown): Promise<PostcommitError> {
    const error = await enqueue(handle as TransactionHandle, event()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PostcommitError);
    expect(await stored()).toEqual([]);
    expect(error).toMatchObject({ code: 'outside-transaction' });
    return error as PostcommitError;
  }

  test('a client outside a transaction is refused', async () => {
    expect((await refused(client)).hint).toContain('BEGIN');
  });

  test('a client whose transaction failed is refused', async () => {
    await client.query('BEGIN');
    await client.query('SELECT 1/0').catch(() => undefined);
    const error = await enqueue(client, event()).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'outside-transaction',
      message: expect.stringContaining('failed already'),
    });
  });

  test('a client whose COMMIT has just failed is refused: it still says that it is in the transaction', async () => {
    await client.query('CREATE TEMP TABLE IF NOT EXISTS late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
    await client.query('BEGIN; INSERT INTO late VALUES (1), (1)');
    await client.query('COMMIT').catch(() => undefined);
    await refused(client);
  });

  test('a pool is refused and says to take a client', async () => {
    const pool = openPool();
    expect((await refused(pool)).hint).toContain('pool.connect()');
    await pool.end();
  });

  test('something else is refused', async () => {
    await refused({});
    await refused({ execute: () => undefined });
  });

  test('a client that does not know its status, as of pg-native, is refused by the server', async () => {
    const native = {
      query: (text: string, values: unknown[]) => client.query(text, values),
      getTransactionStatus: () => null,
    };
    await refused(native);
    await inTransaction(() => enqueue(native, event()));
    expect(await stored()).toHaveLength(1);
  });

  test('a bare { query } in autocommit is refused by the server', async () => {
    await refused({ query: (text: string, values: unknown[]) => client.query(text, values) });
  });

  test('a bare { query } over a pool is refused by the server', async () => {
    const pool = openPool();
    await refused({ query: (text: string, values: unknown[]) => pool.query(text, values) });
    await pool.end();
  });
});

test('a bare { query } inside a transaction is taken, for one event and many', async () => {
  await inTransaction(async (tx) => {
    const bare = { query: (text: string, values: unknown[]) => tx.query(text, values) };
    await enqueue(bare, event({ key: 'one' }));
    await enqueue(bare, [event({ key: 'two' }), event({ key: 'three' })]);
  });
  expect((await stored()).map((row) => row.key)).toEqual(['one', 'two', 'three']);
});

test('a writer needs nothing but INSERT on the named columns and the two sequences', async () => {
  const role = `writer_${randomUUID().slice(0, 8)}`;
  await client.query(`
    CREATE ROLE ${role};
    GRANT USAGE ON SCHEMA postcommit TO ${role};
    GRANT INSERT (event_id, subject, key, type, headers, payload) ON postcommit.outbox TO ${role};
    GRANT SELECT ON SEQUENCE postcommit.segment, postcommit.parked_until TO ${role};
    SET ROLE ${role};`);
  try {
    await inTransaction(async (tx) => {
      await enqueue(tx, event());
      await enqueue(tx, [event(), event()]);
      await enqueue({ query: (text, values) => tx.query(text, values) }, event());
    });
  } finally {
    await client.query(`ROLLBACK; RESET ROLE; DROP OWNED BY ${role}`);
  }
  expect(await stored()).toHaveLength(4);
  await client.query(`DROP ROLE ${role}`);
});

test('a database without the schema says that the migration is missing', async () => {
  await client.query('BEGIN; ALTER SCHEMA postcommit RENAME TO elsewhere');
  await expect(enqueue(client, event())).rejects.toMatchObject({
    code: 'migration-missing',
    hint: expect.stringContaining('postcommit migrate'),
  });
});
