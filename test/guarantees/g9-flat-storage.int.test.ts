import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import { startNats } from '../support/services.ts';
import { openStage, type Stage } from './stage.ts';

let nats: EmbeddedNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats?.[Symbol.asyncDispose]());

const KILLS = 2;
const BULK = 2_000;

test('G9: thousands of events, relays killed and NATS restarted: no row is updated or deleted, nothing dies', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  for (let kill = 0; kill < KILLS; kill++) {
    await using relay = await stage.startRelayProcess();
    await relay.line('ready');
    await stage.untilPublishing({ events: BULK, share: 0.3 });
    relay.kill('SIGKILL');
    await relay.exit;
  }
  {
    await using relay = await stage.startRelay();
    await stage.untilPublishing({ events: BULK, share: 0.3 });
    await nats.restart();
    await stage.untilDrained();
    for (let i = 0; i < 200; i++) await stage.write(5);
    await stage.untilDrained();
    expect(await stage.faults()).toEqual([]);
    await relay.relay.stop();
  }
  const committed = (KILLS + 1) * BULK + 1_000;
  await expect
    .poll(() => tuplesOf(stage, 'outbox%'), { timeout: 15_000 })
    .toMatchObject({ inserted: committed });
  expect(await tuplesOf(stage, 'outbox%')).toEqual({ inserted: committed, updated: 0, deleted: 0, dead: 0 });
  const { rows } = await stage.pool.query('select count(*)::int as n from postcommit.batches');
  await expect
    .poll(() => tuplesOf(stage, 'batches'), { timeout: 15_000 })
    .toMatchObject({ inserted: rows[0].n });
  expect(await tuplesOf(stage, 'batches')).toEqual({ inserted: rows[0].n, updated: 0, deleted: 0, dead: 0 });
});

async function tuplesOf({ pool }: Stage, tables: string) {
  const { rows } = await pool.query(
    `select sum(n_tup_ins)::int as inserted, sum(n_tup_upd)::int as updated, sum(n_tup_del)::int as deleted,
            sum(n_dead_tup)::int as dead
       from pg_stat_user_tables where schemaname = 'postcommit' and relname like $1`,
    [tables],
  );
  return rows[0];
}

const TRANSACTIONS = 200;
const EACH = 100;

test('G9: while a transaction pins the horizon, a drain touches no more pages than without it', async () => {
  const free = await blocksOfDrain({ pinned: false });
  const pinned = await blocksOfDrain({ pinned: true });
  expect(free).toBeGreaterThan(0);
  expect(pinned / free).toBeLessThan(1.5);
});

/** Pages of the outbox and the log that a relay touches while it publishes a backlog of many transactions. */
async function blocksOfDrain({ pinned }: { pinned: boolean }): Promise<number> {
  await using stage = await openStage({ natsUrl: nats.url });
  const holder = new pg.Client({ connectionString: stage.databaseUrl });
  await holder.connect();
  await holder.query('begin isolation level repeatable read');
  if (pinned) await holder.query('select pg_current_xact_id()');
  for (let i = 0; i < TRANSACTIONS; i++) await stage.write(EACH);
  const before = await blocksOf(stage);
  await using relay = await stage.startRelay();
  await expect.poll(stage.lastSequence, { timeout: 20_000, interval: 2 }).toBe(TRANSACTIONS * EACH);
  await relay.relay.stop();
  const after = await blocksOf(stage);
  await holder.end();
  return after - before;
}

/** Once all sessions of the relay have handed in their counts, as they do when they end. */
async function blocksOf({ pool }: Stage): Promise<number> {
  const sessions = `select from pg_stat_activity where datname = current_database() and application_name like 'postcommit%'`;
  await expect.poll(async () => (await pool.query(sessions)).rows.length, { timeout: 10_000 }).toBe(0);
  await pool.query('select pg_stat_force_next_flush()');
  const { rows } = await pool.query(
    `select sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)::int as blocks
       from pg_statio_user_tables where schemaname = 'postcommit' and (relname like 'outbox%' or relname = 'batches')`,
  );
  return rows[0].blocks;
}
