import { afterEach, beforeEach, expect, test } from 'vitest';
import { sleep } from '../../src/lifecycle/abort.ts';
import { query } from '../support/query.ts';
import { type ReplicaPair, startReplicaPair } from '../support/replica.ts';
import { openStage, type Stage } from './stage.ts';

let pair: ReplicaPair;

beforeEach(async () => {
  pair = await startReplicaPair();
});
afterEach(() => pair[Symbol.asyncDispose]());

test('a relay whose address leads to a hot standby says so, and leads when that is promoted', async () => {
  await using stage = await openStage({ postgresUrl: pair.primary.url });
  let server = pair.primary;
  await using relay = await stage.startRelay({ databaseUrl: () => at(server.url, stage) });
  await relay.until('publishing');
  await stage.write(20);
  await stage.untilDrained();
  await pair.untilCaughtUp();
  await pair.primary.stop('immediate');
  server = pair.replica;
  await expect.poll(() => relay.relay.status().reason, { timeout: 15_000 }).toContain('hot standby');
  await pair.promote();
  await relay.until('publishing', 15_000);
  await insert(pair.replica.url, stage, 20);
  await expect.poll(() => stage.lastSequence(), { timeout: 10_000 }).toBe(40);
  expect(await compare(stage)).toEqual({ rows: 40, missing: 0, twice: 0, strays: 0 });
});

test('events that a failover lost are counted; none that reuses a position is taken for one, and none is drawn again', async () => {
  await using stage = await openStage({ postgresUrl: pair.primary.url });
  await failOver(stage, { lost: 60 });
  await using relay = await stage.startRelay({ databaseUrl: () => at(pair.replica.url, stage) });
  await relay.until('publishing');
  expect(await lastPosition(stage)).toBeGreaterThan(80);
  await insert(pair.replica.url, stage, 10);
  await expect.poll(() => stage.lastSequence(), { timeout: 10_000 }).toBe(100);
  expect(await compare(stage)).toEqual({ rows: 40, missing: 0, twice: 0, strays: 60 });
  expect(relay.lines).toContainEqual(
    expect.objectContaining({ event: 'database-behind-stream', strays: 60 }),
  );
});

test('events whose plan alone was lost are not stored again', async () => {
  // A stream that we provision has a short window of its own, and a failover may take longer.
  const config = { duplicate_window: 100_000_000 };
  await using stage = await openStage({ postgresUrl: pair.primary.url, config });
  await failOver(stage, { unplanned: 15, lost: 5 });
  await using relay = await stage.startRelay({ databaseUrl: () => at(pair.replica.url, stage) });
  await relay.until('publishing');
  await expect.poll(() => stage.lastSequence(), { timeout: 10_000 }).toBeGreaterThanOrEqual(50);
  await insert(pair.replica.url, stage, 10);
  await sleep(500); // Long enough to store them again.
  expect(await compare(stage)).toEqual({ rows: 55, missing: 0, twice: 0, strays: 5 });
  expect(relay.lines).toContainEqual(expect.objectContaining({ event: 'database-behind-stream', strays: 5 }));
});

test('so it is when more is lost than one page', async () => {
  const config = { duplicate_window: 100_000_000 };
  await using stage = await openStage({ postgresUrl: pair.primary.url, config });
  await failOver(stage, { unplanned: 15, lost: 2_500 });
  await using relay = await stage.startRelay({ databaseUrl: () => at(pair.replica.url, stage) });
  await relay.until('publishing');
  await expect.poll(() => stage.lastSequence(), { timeout: 10_000 }).toBeGreaterThanOrEqual(2_545);
  await sleep(500); // Long enough to store them again.
  expect(await compare(stage)).toEqual({ rows: 45, missing: 0, twice: 0, strays: 2_500 });
  expect(relay.lines).toContainEqual(
    expect.objectContaining({ event: 'database-behind-stream', strays: 2_500 }),
  );
});

/**
 * The stream gets 20 events that the replica knows, events that it has without their plan, and events that it never
 * heard of. Then it is promoted, and 10 events are inserted before a relay comes, at the positions of lost ones.
 */
async function failOver(stage: Stage, { lost, unplanned = 0 }: { lost: number; unplanned?: number }) {
  {
    await using relay = await stage.startRelay();
    await relay.until('publishing');
    await stage.write(20);
    await stage.untilDrained();
    await relay.relay.stop();
  }
  if (unplanned > 0) await stage.write(unplanned, { payload: 'unplanned' });
  await pair.untilCaughtUp();
  await pair.cutOff();
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  await stage.write(lost, { payload: 'lost' });
  await stage.untilDrained();
  await pair.primary.stop('immediate');
  await pair.promote();
  // It runs ahead of its own rows by up to 32; not so after a restore.
  await query(
    at(pair.replica.url, stage),
    `select setval('postcommit.outbox_position_seq', ${20 + unplanned})`,
  );
  await insert(pair.replica.url, stage, 10);
}

function at(server: string, stage: Stage): string {
  const url = new URL(server);
  url.pathname = new URL(stage.databaseUrl).pathname;
  return url.href;
}

async function insert(server: string, stage: Stage, count: number): Promise<void> {
  await query(
    at(server, stage),
    `insert into postcommit.outbox (subject, payload) select '${stage.subject}', 'kept' from generate_series(1, ${count})`,
  );
}

/** Rows of the promoted server against messages of the stream, by event id. */
async function compare(stage: Stage) {
  const rows = await query(
    at(pair.replica.url, stage),
    'select event_id::text, position::int from postcommit.outbox',
  );
  const stored = (await stage.messages()).map(({ eventId, position }) => `${eventId} ${position}`);
  const kept = new Set(rows.map(([eventId, position]) => `${eventId} ${position}`));
  return {
    rows: rows.length,
    missing: [...kept].filter((row) => !stored.includes(row)).length,
    twice: stored.length - new Set(stored).size,
    strays: stored.filter((message) => !kept.has(message)).length,
  };
}

async function lastPosition(stage: Stage): Promise<number> {
  const [row] = await query(
    at(pair.replica.url, stage),
    'select last_value::int from postcommit.outbox_position_seq',
  );
  return row?.[0] as number;
}
