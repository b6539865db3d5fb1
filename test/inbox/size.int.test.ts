import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { estimateInbox } from '../../src/inbox/size.ts';
import { recogniseTransaction } from '../../src/postgres/transaction-handle.ts';
import { createMigratedDatabase, type ScratchDatabase } from '../support/services.ts';

let database: ScratchDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await createMigratedDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});
beforeEach(() => client.query('truncate postcommit.inbox'));
afterAll(async () => {
  await client.end();
  await database.drop();
});

async function record(consumer: string, count: number): Promise<void> {
  await client.query(
    `insert into postcommit.inbox (consumer, event_id, stream, sequence)
     select $1, i::text, 's', i from generate_series(1, $2::int) i`,
    [consumer, count],
  );
}

async function estimate(consumer: string): Promise<number> {
  await client.query('begin');
  const rows = await estimateInbox(recogniseTransaction(client), consumer);
  await client.query('commit');
  return rows;
}

test('few rows of a consumer are counted, beside those of others', async () => {
  await record('billing', 10_000);
  await record('search', 17);
  expect([await estimate('billing'), await estimate('search'), await estimate('none')]).toEqual([
    10_000, 17, 0,
  ]);
});

test('of many rows the planner knows how many there are', async () => {
  await record('billing', 60_000);
  await record('search', 20_000);
  await client.query('analyze postcommit.inbox');
  expect(Math.abs((await estimate('billing')) - 60_000)).toBeLessThan(6_000);
  expect(Math.abs((await estimate('search')) - 20_000)).toBeLessThan(4_000);
});

test('of many rows in a table without statistics it is known that they are many', async () => {
  await record('billing', 30_000);
  expect(await estimate('billing')).toBeGreaterThan(10_000);
});

test('no more of the table is read than is counted', async () => {
  await record('billing', 200_000);
  await client.query('analyze postcommit.inbox');
  await client.query('begin');
  const statements: string[] = [];
  const transaction = recogniseTransaction(client);
  await estimateInbox(
    {
      ...transaction,
      async run(text, values) {
        if (!text.startsWith('EXPLAIN')) statements.push(text);
        return transaction.run(text, values);
      },
    },
    'billing',
  );
  const [counting = ''] = statements;
  const { rows } = await client.query(`explain (analyze, format json) ${counting}`, ['billing']);
  await client.query('commit');
  expect(statements).toHaveLength(1);
  expect(rowsRead(rows[0]['QUERY PLAN'][0].Plan)).toBeLessThanOrEqual(10_001);
});

interface PlanNode {
  readonly 'Actual Rows': number;
  readonly Plans?: readonly PlanNode[];
}

function rowsRead(node: PlanNode): number {
  return Math.max(node['Actual Rows'], ...(node.Plans ?? []).map(rowsRead));
}
