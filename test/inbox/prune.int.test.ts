import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { pruneInbox } from '../../src/inbox/prune.ts';
import { recogniseTransaction } from '../../src/postgres/transaction-handle.ts';
import { createMigratedDatabase, type ScratchDatabase } from '../support/services.ts';

let database: ScratchDatabase;
let pool: pg.Pool;
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
  await pool.query('TRUNCATE postcommit.inbox');
  await pool.query(`
    INSERT INTO postcommit.inbox (consumer, event_id, stream, sequence, recorded_at)
    SELECT consumer, stream || n, stream, n, now() - (100 - n) * interval '1 hour'
      FROM generate_series(1, 100) n, (VALUES ('billing', 's'), ('billing', 't'), ('mailing', 's')) v (consumer, stream)`);
});

const left = async () =>
  (
    await pool.query(
      'SELECT consumer, stream, min(sequence)::int, count(*)::int FROM postcommit.inbox GROUP BY 1, 2 ORDER BY 1, 2',
    )
  ).rows.map((row) => Object.values(row));

const HOUR_MS = 3_600_000;

async function prune(more: {
  firstSequence: number;
  olderThanMs?: number;
  atMost?: number;
}): Promise<number> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const pruned = await pruneInbox(recogniseTransaction(client), {
      consumer: 'billing',
      stream: 's',
      olderThanMs: 0,
      atMost: 1_000,
      ...more,
    });
    await client.query('COMMIT');
    return pruned;
  } finally {
    client.release();
  }
}

test('what the stream can still deliver is kept, whatever its age; other consumers and streams are', async () => {
  expect(await prune({ firstSequence: 41 })).toBe(40);
  expect(await left()).toEqual([
    ['billing', 's', 41, 60],
    ['billing', 't', 1, 100],
    ['mailing', 's', 1, 100],
  ]);
});

test('what is young is kept, although the stream has lost it', async () => {
  expect(await prune({ firstSequence: 1_000, olderThanMs: 20.5 * HOUR_MS })).toBe(79);
  expect((await left())[0]).toEqual(['billing', 's', 80, 21]);
});

test('what was recorded without a sequence goes by its age', async () => {
  await pool.query(`
    INSERT INTO postcommit.inbox (consumer, event_id, stream, sequence, recorded_at) VALUES
      ('billing', 'old', NULL, NULL, now() - interval '2 days'), ('billing', 'old, of s', 's', NULL, now() - interval '2 days'),
      ('billing', 'old, of t', 't', NULL, now() - interval '2 days'), ('billing', 'young', NULL, NULL, now())`);
  expect(await prune({ firstSequence: 1, olderThanMs: 24 * HOUR_MS })).toBe(2);
  const { rows } = await pool.query(
    'SELECT event_id FROM postcommit.inbox WHERE sequence IS NULL ORDER BY 1',
  );
  expect(rows.map(({ event_id }) => event_id)).toEqual(['old, of t', 'young']);
});

test('a portion at a time, the oldest first', async () => {
  expect(await prune({ firstSequence: 41, atMost: 30 })).toBe(30);
  expect((await left())[0]).toEqual(['billing', 's', 31, 70]);
  expect(await prune({ firstSequence: 41, atMost: 30 })).toBe(10);
});

test.each([
  ["'billing', 's', null"],
  ["'billing', null, 10"],
  ["null, 's', 10"],
  ["'billing', 's', 10, '-1 day'"],
])('the SQL function refuses %s, and says what it needs', async (parameters) => {
  const hint = expect.stringContaining('ask the stream');
  await expect(pool.query(`SELECT postcommit.inbox_prune(${parameters})`)).rejects.toMatchObject({
    code: '22023',
    hint,
  });
});
