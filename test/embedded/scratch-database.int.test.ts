import { expect, test } from 'vitest';
import { query } from '../support/query.ts';
import { createScratchDatabase } from '../support/services.ts';

test('scratch databases are apart from each other and gone after drop, even with open sessions', async () => {
  const [first, second] = await Promise.all([createScratchDatabase(), createScratchDatabase()]);
  await query(first.url, 'CREATE TABLE mine ()');
  await expect(query(second.url, 'SELECT FROM mine')).rejects.toThrow('does not exist');
  const sleeper = query(first.url, 'SELECT pg_sleep(600)');
  await Promise.all([expect(sleeper).rejects.toThrow(), first.drop(), second.drop()]);
  await expect(query(first.url, 'SELECT 1')).rejects.toThrow('does not exist');
});
