import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { freePort } from '../../src/embedded/index.ts';
import { startPostgres } from '../support/backend.ts';
import { query } from '../support/query.ts';

test('answers queries as soon as it is started, and flushes to disk', async () => {
  await using postgres = await startPostgres();
  expect(await query(postgres.url, 'SHOW fsync')).toEqual([['on']]);
  expect(postgres.version).toMatch(/^\d+\.\d+/);
});

test('takes server settings', async () => {
  await using postgres = await startPostgres({ settings: { max_connections: '17' } });
  expect(await query(postgres.url, 'SHOW max_connections')).toEqual([['17']]);
});

test.for([['fast'], ['immediate']] as const)('committed rows survive a restart (%s)', async ([mode]) => {
  await using postgres = await startPostgres();
  await query(postgres.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
  const { pid } = postgres;
  await postgres.restart(mode);
  expect(postgres.pid).not.toBe(pid);
  expect(await query(postgres.url, 'SELECT answer FROM kept')).toEqual([[42]]);
});

test('a crashed server stays down until it is started again, with all committed rows', async () => {
  await using postgres = await startPostgres();
  await query(postgres.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
  await postgres.stop('immediate');
  await expect(query(postgres.url, 'SELECT 1')).rejects.toThrow();
  await postgres.start();
  expect(await query(postgres.url, 'SELECT answer FROM kept')).toEqual([[42]]);
});

test('several servers run at once, each with its own data', async () => {
  const [first, second] = await Promise.all([startPostgres(), startPostgres()]);
  await using stack = new AsyncDisposableStack();
  stack.use(first);
  stack.use(second);
  await query(first.url, 'CREATE TABLE mine ()');
  await expect(query(second.url, 'SELECT FROM mine')).rejects.toThrow('does not exist');
});

test('a given data folder is kept and used again', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'postcommit-test-'));
  try {
    const first = await startPostgres({ dataDir });
    await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    await first[Symbol.asyncDispose]();
    expect(await readdir(dataDir)).toContain('PG_VERSION');
    await using second = await startPostgres({ dataDir });
    expect(await query(second.url, 'SELECT answer FROM kept')).toEqual([[42]]);
  } finally {
    await rm(dataDir, { recursive: true });
  }
});

test('a given port that is taken is reported, not replaced', async () => {
  const port = await freePort();
  const occupant = createServer().listen(port, '127.0.0.1');
  try {
    await expect(startPostgres({ port })).rejects.toThrow('Address already in use');
  } finally {
    occupant.close();
  }
});
