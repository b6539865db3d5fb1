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

const ROUNDS = 20;
const A_ROUND = 250;

test('G9: while a transaction pins the horizon, reading does not touch more pages for an event than without it', async () => {
  const free = await blocksOfDrain({ pinned: false });
  const pinned = await blocksOfDrain({ pinned: true });
  expect(free).toBeGreaterThan(0);
  expect(pinned / free).toBeLessThan(1.5);
});

/** Pages of the outbox and the log that were touched while some thousand events were written and published, in rounds. */
async function blocksOfDrain({ pinned }: { pinned: boolean }): Promise<number> {
  await using stage = await openStage({ natsUrl: nats.url });
  const holder = new pg.Client({ connectionString: stage.databaseUrl });
  await holder.connect();
  if (pinned) {
    await holder.query('begin isolation level repeatable read');
    await holder.query('select pg_current_xact_id()');
  }
  const relay = await stage.startRelay();
  await relay.until('publishing');
  for (let round = 1; round <= ROUNDS; round++) {
    await stage.write(A_ROUND);
    await expect.poll(stage.lastSequence, { timeout: 10_000, interval: 2 }).toBe(round * A_ROUND);
  }
  await relay.relay.stop();
  await relay[Symbol.asyncDispose]();
  // Sessions hand in their counts when they end.
  const sessions = `select from pg_stat_activity where datname = current_database() and application_name like 'postcommit%'`;
  await expect.poll(async () => (await stage.pool.query(sessions)).rows.length, { timeout: 10_000 }).toBe(0);
  const { rows } = await stage.pool.query(
    `select sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)::int as blocks
       from pg_statio_user_tables where schemaname = 'postcommit' and (relname like 'outbox%' or relname = 'batches')`,
  );
  if (pinned)
    expect((await holder.query('select pg_current_xact_id_if_assigned() as id')).rows[0].id).not.toBeNull();
  await holder.end();
  return rows[0].blocks;
}
