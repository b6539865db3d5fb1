import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { consume } from '../../src/consumer/index.ts';
import { migrate } from '../../src/migrate/index.ts';
import { openStage } from '../guarantees/stage.ts';
import { unpackEarlier } from '../support/earlier-version.ts';

/** Runs in an earlier checkout: what consume() is there, one effect for each event. */
const OLD_CONSUMER = `
import pg from 'pg';
import { consume } from './src/consumer/index.ts';
const [nats, stream, url] = process.argv.slice(2);
const db = new pg.Pool({ connectionString: url });
const consumer = await consume({ nats, stream, durable: 'letters', db, ackWaitMs: 2_000 }, async (event, { tx }) => {
  await tx.query("INSERT INTO effects (event_id, version) VALUES ($1, 'old')", [event.id]);
});
process.send('consuming');
process.on('SIGTERM', async () => {
  await consumer.stop();
  await db.end();
  process.exit(0);
});
`;

test.each(['22e4cd4', 'c1d5bb8'])(
  'consumers of the state %s and of now share a durable while one replaces the other: one effect each',
  async (commit) => {
    await using earlier = await unpackEarlier(commit);
    await using stage = await openStage({ postgresUrl: inject('databaseUrl'), migrate: earlier.migrate });
    await using relay = await stage.startRelayProcess({ main: earlier.main });
    await relay.line('ready');
    await stage.pool.query('CREATE TABLE effects (event_id text NOT NULL, version text NOT NULL)');
    const effects = async () =>
      (await stage.pool.query('SELECT version, count(*)::int FROM effects GROUP BY 1')).rows;
    const effectsOf = async (version: string) =>
      (await effects()).find((row) => row.version === version)?.count ?? 0;

    const script = join(earlier.folder, 'old-consumer.ts');
    await writeFile(script, OLD_CONSUMER);
    const old = spawn(process.execPath, [script, stage.natsUrl, stage.stream, stage.databaseUrl], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    try {
      await once(old, 'message');
      await stage.write(200);
      await expect.poll(() => effectsOf('old'), { timeout: 20_000 }).toBe(200);

      await migrate({ url: stage.databaseUrl });
      await using writers = stage.startWriters({ count: 2, pauseMs: 5 });
      await using db = poolOf(stage.databaseUrl);
      const consumer = await consume(
        { nats: stage.natsUrl, stream: stage.stream, durable: 'letters', db: db.pool },
        async ({ id }, { tx }) => {
          await tx.query("INSERT INTO effects (event_id, version) VALUES ($1, 'new')", [id]);
        },
      );
      // Both at once, and then the old one goes in the midst of it.
      await expect.poll(() => effectsOf('new'), { timeout: 20_000 }).toBeGreaterThan(50);
      await expect.poll(() => effectsOf('old'), { timeout: 20_000 }).toBeGreaterThan(200);
      await stop(old);
      const before = await effectsOf('new');
      await expect.poll(() => effectsOf('new'), { timeout: 20_000 }).toBeGreaterThan(before + 50);
      await writers.stop();
      await stage.untilDrained();
      const events = 'SELECT event_id::text AS id FROM postcommit.outbox ORDER BY 1';
      const expected = (await stage.pool.query(events)).rows;
      await expect
        .poll(
          async () => (await stage.pool.query('SELECT event_id AS id FROM effects ORDER BY 1')).rows.length,
          {
            timeout: 20_000,
          },
        )
        .toBe(expected.length);
      expect((await stage.pool.query('SELECT event_id AS id FROM effects ORDER BY 1')).rows).toEqual(
        expected,
      );
      await consumer.stop();
    } finally {
      await stop(old);
    }
  },
);

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}

function poolOf(connectionString: string): AsyncDisposable & { readonly pool: pg.Pool } {
  const pool = new pg.Pool({ connectionString });
  return { pool, [Symbol.asyncDispose]: () => pool.end() };
}
