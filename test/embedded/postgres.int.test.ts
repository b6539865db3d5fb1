import pg from 'pg';
import { expect, test } from 'vitest';
import { startPostgres } from '../support/services.ts';

async function query(url: string, sql: string): Promise<unknown[][]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<unknown[]>({ text: sql, rowMode: 'array' });
    return rows;
  } finally {
    await client.end();
  }
}
test('answers queries as soon as it is started, and flushes to disk', async () => {
  await using postgres = await startPostgres();
  expect(await query(postgres.url, 'SHOW fsync')).toEqual([['on']]);
  expect(postgres.version).toMatch(/^\d+/);
});
