import pg from 'pg';
import { expect, test } from 'vitest';
import { FAITHFUL, insertEvents, type Outbox, openOutbox } from '../support/outbox-harness.ts';
import { startPostgres } from '../support/services.ts';

const CRASHES = 5;

/** Commits without waiting for the disk until the server goes away. Returns how many commits were confirmed. */
async function writeAsynchronously(outbox: Outbox): Promise<number> {
  const client = new pg.Client({ connectionString: outbox.url });
  client.on('error', () => undefined);
  let confirmed = 0;
  try {
    await client.connect();
    await client.query('set synchronous_commit = off');
    for (;;) {
      await insertEvents(client, outbox.subject, 1, `confirmed ${confirmed}`);
      confirmed++;
    }
  } catch {
    return confirmed;
  } finally {
    await client.end().catch(() => undefined);
  }
}

test(`G2: ${CRASHES} crashes of PostgreSQL beside asynchronous commits: what it forgot never reached the stream`, async () => {
  await using server = await startPostgres({ settings: { wal_writer_delay: '10s' } });
  await using outbox = await openOutbox({ databaseUrl: server.url });
  const { relay } = await outbox.startRelay();
  let confirmed = 0;
  for (let crash = 0; crash < CRASHES; crash++) {
    const writers = Array.from({ length: 4 }, () => writeAsynchronously(outbox));
    await outbox.untilStored((await outbox.stored()) + 500);
    await server.restart('immediate');
    confirmed += (await Promise.all(writers)).reduce((sum, count) => sum + count, 0);
    // By itself, and with what is left.
    await expect.poll(() => relay.status().lanes[0]?.state, { timeout: 15_000 }).toBe('publishing');
    await insertEvents(await outbox.connect(), outbox.subject, 1, 'after');
    confirmed++;
    await outbox.untilDrained();
    const comparison = await outbox.compare();
    expect(comparison).toEqual({ committed: comparison.committed, ...FAITHFUL });
  }
  const { committed } = await outbox.compare();
  expect(committed, 'no crash took back a commit: this has shown nothing').toBeLessThan(confirmed);
});

test('G1, G2, G8: prepared transactions, also across a restart of PostgreSQL', async () => {
  await using server = await startPostgres({ settings: { max_prepared_transactions: '10' } });
  await using outbox = await openOutbox({ databaseUrl: server.url });
  await outbox.startRelay();
  for (const [name, count] of [
    ['small', 3],
    ['wide', 500],
    ['doomed', 300],
  ] as const) {
    const writer = await outbox.connect();
    await writer.query('begin');
    await writer.query('set local postcommit.notify = off');
    await insertEvents(writer, outbox.subject, count, name);
    await writer.query(`prepare transaction '${name}'`);
    await writer.end();
  }
  const insertOthers = async () => insertEvents(await outbox.connect(), outbox.subject, 100, 'other');
  await insertOthers();
  await outbox.untilStored(100);
  await (await outbox.connect()).query(`commit prepared 'small'`);
  await outbox.untilStored(103);
  await server.restart();
  await insertOthers();
  await outbox.untilStored(203);
  expect(await outbox.stored()).toBe(203);
  const ending = await outbox.connect();
  await ending.query(`rollback prepared 'doomed'`);
  await ending.query(`commit prepared 'wide'`);
  await outbox.untilDrained();
  expect(await outbox.compare()).toEqual({ committed: 703, ...FAITHFUL });
});
