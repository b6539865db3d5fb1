import { DiscardPolicy } from '@nats-io/jetstream';
import type pg from 'pg';
import { type expect, test } from 'vitest';
import { sleep } from '../../src/lifecycle/abort.ts';
import { runCli } from '../support/cli.ts';
import { faultsOfStreams, openLanes } from '../support/lanes.ts';
import { startNats } from '../support/services.ts';
import { openStage, type Stage } from './stage.ts';

/** The relay's rounds come every five seconds, and some things take three of them. */
const ROUNDS_MS = 25_000;

/** Inserts one event at a position of the test's choice. */
async function putIn(
  { pool, subject }: Stage,
  position: number,
  table = 'outbox',
  segment = 0,
): Promise<void> {
  await pool.query(
    `insert into postcommit.${table} (position, segment, subject, payload) overriding system value
     values ($1::int8, $2, $3, convert_to('put in at ' || $1::int8, 'UTF8'))`,
    [position, segment, subject],
  );
}

type Expect = typeof expect;

/** Tests of this file wait for the relay's rounds side by side: each has an `expect` of its own. */
async function untilStored(expect: Expect, stage: Stage, count: number): Promise<void> {
  await expect.poll(() => stage.lastSequence(), { timeout: ROUNDS_MS, interval: 20 }).toBe(count);
}

/** Positions 21 to 30 are drawn and never used, and every reader has passed them. Returns how many events there are. */
async function leaveHoles(
  expect: Expect,
  pool: pg.Pool,
  write: (count: number) => Promise<void>,
): Promise<number> {
  await write(20);
  await pool.query("select setval('postcommit.outbox_position_seq', 30)");
  let events = 20;
  const openFrom = async () => {
    await write(1);
    events++;
    const { rows } = await pool.query(
      'select max(open_from)::int as open_from from postcommit.batches where read_to > 30',
    );
    return rows[0].open_from ?? 0;
  };
  await expect.poll(openFrom, { timeout: ROUNDS_MS, interval: 100 }).toBeGreaterThan(30);
  return events;
}

async function audit(
  expect: Expect,
  { databaseUrl }: { readonly databaseUrl: string },
): Promise<{ code: number | null; report: Record<string, unknown> }> {
  const { code, stdout, stderr } = await runCli(['audit', '--json'], { DATABASE_URL: databaseUrl });
  expect(stderr).toBe('');
  return { code, report: JSON.parse(stdout) };
}

test.concurrent('events that no reader would find are named by the audit, and the relay publishes each once', async ({
  expect,
}) => {
  await using stage = await openStage();
  await using relay = await stage.startRelay();
  const events = await leaveHoles(expect, stage.pool, stage.write);
  await untilStored(expect, stage, events);
  await putIn(stage, 25);
  await putIn(stage, 26, 'outbox_5', 5);
  await putIn(stage, -3, 'outbox', 2);
  const { code, report } = await audit(expect, stage);
  expect(report).toMatchObject({
    rows: events + 3,
    planned: events,
    parked: 0,
    waiting: 0,
    uncovered: {
      count: 3,
      first: [
        { position: -3, segment: 2, subject: stage.subject },
        { position: 25, segment: 0 },
        { position: 26, segment: 5 },
      ],
    },
    plannedTwice: { count: 0 },
    relay: { answered: true, found: 3 },
  });
  expect(code).toBe(1);
  await untilStored(expect, stage, events + 3);
  expect(await stage.faults()).toEqual([]);
  expect(await relay.count('auditFoundEvents')).toBe(3);
  expect(relay.lines.filter(({ event }) => event === 'uncovered-events')).toMatchObject([
    { events: 3, positions: [-3, 25, 26] },
  ]);
  const after = await audit(expect, stage);
  expect([after.code, after.report.relay]).toEqual([0, null]);
});

test.concurrent('in an old leaf they are found before it is emptied, published, and then it is emptied', async ({
  expect,
}) => {
  await using stage = await openStage();
  await using relay = await stage.startRelay({ retentionMs: 600 });
  const events = await leaveHoles(expect, stage.pool, stage.write);
  const lines = (event: string) => relay.lines.filter((line) => line.event === event);
  const current = async () =>
    (await stage.pool.query(`select pg_sequence_last_value('postcommit.segment')::int as n`)).rows[0].n;
  await expect.poll(current, { timeout: ROUNDS_MS }).toBe(1);
  await putIn(stage, 23);
  await expect
    .poll(() => lines('uncovered-events'), { timeout: ROUNDS_MS })
    .toMatchObject([{ positions: [23] }]);
  expect(lines('segment-uncovered')).toMatchObject([{ segment: 0, rows: 1 }]);
  expect(lines('segment-emptied')).toEqual([]);
  await expect.poll(() => stage.lastSequence(), { timeout: ROUNDS_MS }).toBe(events + 1);
  await expect.poll(() => lines('segment-emptied'), { timeout: ROUNDS_MS }).toMatchObject([{ segment: 0 }]);
});

test.concurrent('after a sequence was set back, events are published at positions that had others before', async ({
  expect,
}) => {
  await using stage = await openStage();
  await using relay = await stage.startRelay({ retentionMs: 600 });
  await stage.write(50, { payload: 'first' });
  await untilStored(expect, stage, 50);
  const emptied = () => relay.lines.filter(({ event }) => event === 'segment-emptied').length;
  await expect.poll(emptied, { timeout: ROUNDS_MS }).toBe(1);
  await stage.pool.query("select setval('postcommit.outbox_position_seq', 10)");
  await stage.write(5, { payload: 'second' });
  await expect.poll(() => stage.lastSequence(), { timeout: ROUNDS_MS, interval: 20 }).toBe(55);
  await stage.write(5, { payload: 'third' });
  await expect.poll(() => stage.lastSequence(), { timeout: ROUNDS_MS, interval: 20 }).toBe(60);
  const payloads: string[] = [];
  for (let seq = 51; seq <= 60; seq++) {
    const message = await stage.jsm.streams.getMessage(stage.stream, { seq });
    payloads.push(message?.string().replace(/ \d+$/, '') ?? 'nothing');
  }
  expect(payloads).toEqual([...Array(5).fill('second'), ...Array(5).fill('third')]);
});

test.concurrent('while NATS is away for longer than the retention, nothing is emptied that it does not have', async ({
  expect,
}) => {
  await using nats = await startNats();
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay({ retentionMs: 300 });
  await stage.write(100);
  await expect.poll(() => stage.lastSequence(), { timeout: ROUNDS_MS }).toBe(100);
  nats.kill('SIGSTOP');
  try {
    await stage.write(200); // Planned, sent, and never answered.
    await stage.pool.query("select setval('postcommit.segment', 1)");
    await stage.write(50);
    await expect
      .poll(() => relay.relay.status().lanes[0]?.state, { timeout: ROUNDS_MS })
      .not.toBe('publishing');
    await sleep(6_000); // A round of the ring, at least.
    const { rows } = await stage.pool.query('select count(*)::int from postcommit.outbox');
    expect(rows[0].count).toBeGreaterThanOrEqual(250);
  } finally {
    nats.kill('SIGCONT');
  }
  await expect.poll(() => stage.lastSequence(), { timeout: ROUNDS_MS }).toBe(350);
  await expect
    .poll(async () => (await stage.pool.query('select from postcommit.outbox')).rowCount, {
      timeout: ROUNDS_MS,
    })
    .toBeLessThan(250);
});

test.concurrent('of several lanes, one of them paused: only what was passed over is found, not what waits', async ({
  expect,
}) => {
  await using lanes = await openLanes(2, { 1: { discard: DiscardPolicy.New, max_msgs: 50 } });
  await using relay = await lanes.startRelay();
  const events = await leaveHoles(expect, lanes.pool, (count) => lanes.write(0, count));
  const untilSo = (count: number) =>
    expect.poll(lanes.stored, { timeout: ROUNDS_MS, interval: 20 }).toBe(count);
  await lanes.write(1, 400);
  await expect
    .poll(() => relay.relay.status().lanes[1]?.state, { timeout: ROUNDS_MS, interval: 20 })
    .toBe('paused');
  await lanes.write(0, 300);
  await untilSo(events + 350);
  for (const [i, stream] of lanes.streams.entries())
    await lanes.pool.query(
      `insert into postcommit.outbox (position, subject, payload) overriding system value values ($1, $2, 'stray')`,
      [22 + i, `${stream}.event`],
    );
  expect((await audit(expect, lanes)).report).toMatchObject({
    uncovered: { count: 2 },
    relay: { answered: true, found: 2 },
  });
  await untilSo(events + 351);
  await lanes.jsm.streams.update(lanes.streams[1] ?? '', { max_msgs: -1 });
  await untilSo(events + 702);
  expect(await faultsOfStreams(lanes)).toEqual([]);
  expect((await relay.metrics.auditFoundEvents.get()).values[0]?.value).toBe(2);
});

test.concurrent('a dead letter outlives its leaf: retried after that, its event arrives whole', async ({
  expect,
}) => {
  await using stage = await openStage({ config: { max_msg_size: 10_000 } });
  await using relay = await stage.startRelay({ retentionMs: 600 });
  const payload = 'large '.repeat(4_000);
  await stage.write(1, { payload, key: 'k' });
  await stage.write(3);
  await untilStored(expect, stage, 3);
  await expect
    .poll(() => relay.lines.map(({ event }) => event), { timeout: ROUNDS_MS })
    .toContain('segment-emptied');
  const { rows } = await stage.pool.query(
    'select state, (select count(*) from postcommit.outbox)::int as rows from postcommit.dead_letters',
  );
  expect(rows).toEqual([{ state: 'parked', rows: 0 }]);
  await stage.jsm.streams.update(stage.stream, { max_msg_size: -1 });
  await stage.pool.query(`insert into postcommit.requests (kind) values ('retry')`);
  await untilStored(expect, stage, 4);
  const message = await stage.jsm.streams.getMessage(stage.stream, { seq: 4 });
  expect(message?.string()).toBe(`${payload} 1`);
  expect(message?.header.get('Postcommit-Key')).toBe('k');
});
