import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { consume } from '../../src/consumer/index.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { startPostgres } from '../support/services.ts';
import { createScene, effect } from './scene.ts';

test('behind a transaction pooler an order is kept by time alone: one works, the other follows', async () => {
  const postgres = await startPostgres();
  onTestFinished(() => postgres[Symbol.asyncDispose]());
  const pooler = await startPgBouncer({ port: postgres.port });
  onTestFinished(() => pooler[Symbol.asyncDispose]());
  const here = await createScene({ databaseUrl: postgres.url });
  onTestFinished(() => here[Symbol.asyncDispose]());
  const pool = new pg.Pool({ connectionString: pooler.urlOf(postgres.url) });
  pool.on('error', () => undefined);
  onTestFinished(() => pool.end());
  const options = { ...here.options, db: pool, leaseTtlMs: 1_000, batchSize: 5, concurrency: 3 };
  const one = await consume(options, effect);
  const other = await consume(options, effect);
  onTestFinished(() => other.stop());
  for (let i = 0; i < 60; i++) await here.publish(i, { 'Postcommit-Key': `key-${i % 7}` });
  const count = async () => (await here.effects()).length;
  await expect.poll(count, { timeout: 20_000 }).toBe(60);
  const roles = () => [one.role, other.role].sort();
  expect(roles()).toEqual(['active', 'standby']);
  // No lock of a session may be left at a backend that is the next one's.
  const { rows } = await here.pool.query(
    "select count(*)::int as locks from pg_locks where locktype = 'advisory'",
  );
  expect(rows).toEqual([{ locks: 0 }]);
  await one.stop();
  for (let i = 60; i < 80; i++) await here.publish(i, { 'Postcommit-Key': `key-${i % 7}` });
  await expect.poll(count, { timeout: 20_000 }).toBe(80);
  expect(other.role).toBe('active');
  expect(new Set(await here.effects()).size).toBe(80);
});
