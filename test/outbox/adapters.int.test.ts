import { inspect } from 'node:util';
import type { Knex } from 'knex';
import type { Kysely } from 'kysely';
import pg from 'pg';
import type { Sql } from 'postgres';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { PrismaClient } from '../../examples/11-adapters/generated/client.ts';
import { enqueue, type OutboxEvent, type TransactionHandle } from '../../src/index.ts';
import { createMigratedDatabase, type ScratchDatabase } from '../support/services.ts';
import { LIBRARIES } from './adapters/libraries.ts';
import type { Library, Within } from './adapters/library.ts';

/** `db.transaction()` of Kysely has none. */
const WITHOUT_SAVEPOINTS = ['Kysely'];

let database: ScratchDatabase;
let witness: pg.Client;
beforeAll(async () => {
  database = await createMigratedDatabase();
  witness = new pg.Client(database.url);
  await witness.connect();
});
afterAll(async () => {
  await witness?.end();
  await database?.drop();
});
beforeEach(async () => {
  await witness.query('TRUNCATE postcommit.outbox');
});

const event = (more: Partial<OutboxEvent> = {}): OutboxEvent => ({
  subject: 'events.a',
  payload: { a: 1 },
  ...more,
});

async function stored() {
  const { rows } = await witness.query('SELECT * FROM postcommit.outbox ORDER BY position');
  return rows;
}

/** What somebody sees who logs it. */
const logged = (error: unknown): string => inspect(error, { depth: 20, maxStringLength: null });

describe.each(Object.entries(LIBRARIES))('%s', (name, open) => {
  let library: Library;
  beforeAll(async () => {
    library = await open(database.url);
  });
  afterAll(() => library?.[Symbol.asyncDispose]());

  /** Runs the work in a transaction that is rolled back; what the work brought. */
  async function undone<Result>(work: (within: Within) => Promise<Result>): Promise<Result> {
    let result: { value: Result } | undefined;
    const undo = new Error('undo');
    await library
      .transaction(async (within) => {
        result = { value: await work(within) };
        throw undo;
      })
      .catch(() => undefined);
    if (result === undefined) throw new Error('the work did not end');
    return result.value;
  }

  async function threeTransactions(): Promise<void> {
    for (let i = 0; i < 3; i++) await library.transaction(async ({ statement }) => statement('SELECT 1'));
  }

  /**
   * Time for what was forgotten. On a connection that is kept, its statements would be in whatever transaction comes next
   * there: nobody commits one meanwhile.
   */
  async function elsewhere(): Promise<void> {
    if (name !== 'postgres.js, reserved') return threeTransactions();
    for (let i = 0; i < 3; i++) await witness.query('SELECT 1');
  }

  test('commits one event and many, in order, byte for byte', async () => {
    const odd = 'Zoë 🏥 "quoted" \\ back ? ?? \\? $1 :name {x} %s';
    const [one, many] = await library.transaction(async ({ tx }) => [
      await enqueue(tx, event({ key: odd, type: odd, headers: { note: odd }, payload: odd })),
      await enqueue(tx, [
        event({ subject: 'events.b', payload: Uint8Array.from({ length: 256 }, (_, i) => i) }),
        event({ subject: 'events.c', key: 'k', payload: { odd } }),
        event({ subject: 'events.ü', payload: new Uint8Array() }),
      ]),
    ]);
    const rows = await stored();
    expect(rows.map((row) => row.event_id)).toEqual([one, ...many]);
    expect(rows.map((row) => row.subject)).toEqual(['events.a', 'events.b', 'events.c', 'events.ü']);
    expect(rows.map((row) => row.key)).toEqual([odd, null, 'k', null]);
    expect(rows[0]).toMatchObject({ type: odd, headers: { note: odd } });
    expect(rows.map((row) => row.payload)).toEqual([
      Buffer.from(JSON.stringify(odd)),
      Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
      Buffer.from(JSON.stringify({ odd })),
      Buffer.from([]),
    ]);
  });

  test('keeps texts that look like something else', async () => {
    const keys = [
      '2026-01-01T00:00:00.000Z',
      '12',
      '1e3',
      'true',
      'null',
      '{"a":1}',
      '[1]',
      '{1,2}',
      '\\x00',
    ];
    await library.transaction(async ({ tx }) => {
      for (const key of keys) await enqueue(tx, event({ key, headers: { key }, payload: key }));
    });
    const rows = await stored();
    expect(rows.map((row) => row.key)).toEqual(keys);
    expect(rows.map((row) => row.headers)).toEqual(keys.map((key) => ({ key })));
    expect(rows.map((row) => JSON.parse(row.payload.toString()))).toEqual(keys);
  });

  test('takes calls that run side by side', async () => {
    const subjects = Array.from({ length: 10 }, (_, i) => `events.${i}`);
    await library.transaction(({ tx }) =>
      Promise.all(subjects.map((subject) => enqueue(tx, event({ subject })))),
    );
    expect((await stored()).map((row) => row.subject).sort()).toEqual(subjects);
  });

  test('its rollback takes the events with it', async () => {
    await undone(({ tx }) => Promise.all([enqueue(tx, event()), enqueue(tx, [event(), event()])]));
    expect(await stored()).toEqual([]);
  });

  test.skipIf(WITHOUT_SAVEPOINTS.includes(name))(
    'a savepoint that is rolled back takes its own events with it, and no others',
    async () => {
      await library.transaction(async ({ tx, savepoint }) => {
        await enqueue(tx, event({ subject: 'events.before' }));
        await savepoint(async (nested) => {
          await enqueue(nested, event({ subject: 'events.undone' }));
          throw new Error('undo');
        }).catch(() => undefined);
        await savepoint(async (nested) => void (await enqueue(nested, event({ subject: 'events.within' }))));
        await enqueue(tx, event({ subject: 'events.after' }));
      });
      const subjects = (await stored()).map((row) => row.subject);
      expect(subjects).toEqual(['events.before', 'events.within', 'events.after']);
    },
  );

  test('what is no transaction is refused, with the call that makes one', async () => {
    for (const { what, handle, hint } of library.refused) {
      const refusal = enqueue(handle as TransactionHandle, event());
      await expect(refusal, what).rejects.toMatchObject({
        name: 'PostcommitError',
        code: 'outside-transaction',
        hint: expect.stringContaining(hint),
      });
    }
    expect(await stored()).toEqual([]);
  });

  test('a transaction that has ended is refused', async () => {
    const kept = await library.transaction(async ({ tx }) => tx);
    const dropped = await undone(async ({ tx }) => tx);
    for (const handle of [kept, dropped])
      for (const events of [event(), [event(), event()]] as OutboxEvent[])
        await expect(enqueue(handle, events)).rejects.toMatchObject({
          name: 'PostcommitError',
          code: 'outside-transaction',
        });
    expect(await stored()).toEqual([]);
  });

  test('what was not awaited is never written behind the end of the transaction', async () => {
    for (let turns = 0; turns < 12; turns++) {
      let forgotten: Promise<unknown> | undefined;
      await undone(async ({ tx }) => {
        forgotten = afterTurns(turns).then(() => enqueue(tx, event()));
        forgotten.catch(() => undefined);
      });
      // postgres.js never answers what it was asked behind the end.
      await Promise.race([forgotten?.catch(() => undefined), elsewhere()]);
    }
    expect(await stored()).toEqual([]);
  });

  test('a transaction that has failed is refused', async () => {
    const error = await undone(async ({ tx, statement }) => {
      await Promise.resolve(statement('SELECT 1/0')).catch(() => undefined);
      return enqueue(tx, event()).catch((thrown: unknown) => thrown);
    });
    expect(error).toMatchObject({
      code: 'outside-transaction',
      message: expect.stringContaining('failed already'),
    });
  });

  const secret = 'secret'.repeat(200_000);

  test('what a CHECK refuses is explained, without the payload', async () => {
    for (const events of [event({ payload: secret }), [event(), event({ payload: secret })]]) {
      const error = await undone(({ tx }) =>
        enqueue(tx, events as OutboxEvent).catch((thrown: unknown) => thrown),
      );
      expect(error).toMatchObject({
        name: 'PostcommitError',
        code: 'event-invalid',
        message: expect.stringMatching(
          /^payload \(1200002 bytes\) and headers \(2 bytes\) are larger than the limit/,
        ),
        hint: expect.stringContaining('max-payload'),
      });
      expect(logged(error)).not.toContain('c2VjcmV0');
      expect(logged(error).length).toBeLessThan(10_000);
    }
    expect(await stored()).toEqual([]);
  });

  test('a database without the schema says that the migration is missing', async () => {
    const error = await undone(async ({ tx, statement }) => {
      await statement('ALTER SCHEMA postcommit RENAME TO elsewhere');
      return enqueue(tx, event()).catch((thrown: unknown) => thrown);
    });
    expect(error).toMatchObject({
      code: 'migration-missing',
      hint: expect.stringContaining('postcommit migrate'),
    });
  });

  test('any other refusal comes out as it is, without the payload', async () => {
    const error = await undone(async ({ tx, statement }) => {
      await statement('SET TRANSACTION READ ONLY');
      return enqueue(tx, event({ payload: 'secret' })).catch((thrown: unknown) => thrown);
    });
    expect(error).toMatchObject({
      message: expect.stringMatching(/cannot execute \w+ in a read-only transaction/),
    });
    expect(logged(error)).not.toContain(Buffer.from('"secret"').toString('base64'));
  });
});

/** So many times whatever was waiting has its turn. */
async function afterTurns(turns: number): Promise<void> {
  for (let i = 0; i < turns; i++) await Promise.resolve();
}

test('pools and databases are no transactions for the compiler', () => {
  function refusedByTheCompiler(
    ...[pool, sql, db, knex, prisma, dataSource]: [
      pg.Pool,
      Sql,
      Kysely<unknown>,
      Knex,
      PrismaClient,
      DataSource,
    ]
  ) {
    // @ts-expect-error
    void enqueue(pool, event());
    // @ts-expect-error
    void enqueue(sql, event());
    // @ts-expect-error
    void enqueue(db, event());
    // @ts-expect-error
    void enqueue(knex, event());
    // @ts-expect-error
    void enqueue(prisma, event());
    // @ts-expect-error
    void enqueue(dataSource, event());
  }
  expect(refusedByTheCompiler).toBeTypeOf('function');
});
