import { DiscardPolicy } from '@nats-io/jetstream';
import pg from 'pg';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Metrics } from '../../src/telemetry/metrics.ts';
import { startTcpProxy } from '../../src/testing/index.ts';
import { openStage, type RunningRelay, type Stage } from '../guarantees/stage.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { startNats } from '../support/services.ts';

let stage: Stage;
beforeEach(async () => {
  stage = await openStage();
});
afterEach(() => stage[Symbol.asyncDispose]());

type Name = keyof Omit<Metrics, 'registry'>;

/** The sum of a metric's samples with these labels. */
async function read({ metrics }: RunningRelay, name: Name, labels: Record<string, string> = {}) {
  const { values } = await metrics[name].get();
  const isMeant = (sample: object) =>
    Object.entries(labels).every(([label, value]) => String(Reflect.get(sample, label)) === value);
  return values.filter((sample) => isMeant(sample.labels)).reduce((sum, { value }) => sum + value, 0);
}

/** The relay's rounds come every five seconds. */
const ROUND_MS = 15_000;

function until(relay: RunningRelay, name: Name, labels: Record<string, string> = {}) {
  return expect.poll(() => read(relay, name, labels), { timeout: ROUND_MS, interval: 20 });
}

async function bytesOf(sql: string): Promise<number> {
  const { rows } = await stage.pool.query(`select (${sql})::int8::text as bytes`);
  return Number(rows[0].bytes);
}

test('a leader and a standby tell their roles, connections and epochs; one that has stopped tells that', async () => {
  await using leader = await stage.startRelay();
  await until(leader, 'relayRole', { role: 'leader' }).toBe(1);
  await using standby = await stage.startRelay();
  await until(standby, 'relayRole', { role: 'standby' }).toBe(1);
  for (const relay of [leader, standby]) {
    expect(await read(relay, 'relayRole')).toBe(1);
    expect(await read(relay, 'connected', { server: 'postgres' })).toBe(1);
    expect(await read(relay, 'connected', { server: 'nats' })).toBe(1);
    expect(await read(relay, 'pooled')).toBe(0);
  }
  expect([await read(leader, 'isLeader'), await read(standby, 'isLeader')]).toEqual([1, 0]);
  const epoch = leader.relay.status().epoch;
  expect([await read(leader, 'leaseEpoch'), await read(standby, 'leaseEpoch')]).toEqual([epoch, 0]);
  await leader.relay.stop();
  expect(await read(leader, 'relayRole', { role: 'stopped' })).toBe(1);
  expect(await read(leader, 'connected')).toBe(0);
  expect(await read(leader, 'leaseEpoch')).toBe(epoch);
  await until(standby, 'leaseEpoch').toBe(Number(epoch) + 1);
});

test('what is planned and what is in flight are told while no answer comes, and the lane as paused when it gives up', async () => {
  await using nats = await startNats();
  await using own = await openStage({ natsUrl: nats.url });
  await using proxy = await startTcpProxy({ port: nats.port });
  await using relay = await own.startRelay({ nats: () => ({ servers: [proxy.through(nats.url)] }) });
  await relay.until('publishing');
  const lane = { stream: own.stream };
  expect(await read(relay, 'lanePaused', lane)).toBe(0);
  proxy.blackHole({ direction: 'down' });
  await own.write(1_500);
  await until(relay, 'plannedPending', lane).toBe(1_500);
  expect(await read(relay, 'inFlightMessages', lane)).toBe(1_024);
  await until(relay, 'lanePaused', lane).toBe(1);
  expect(await read(relay, 'inFlightMessages', lane)).toBe(0);
  proxy.heal();
  await own.untilDrained();
  await until(relay, 'plannedPending', lane).toBe(0);
  await until(relay, 'lanePaused', lane).toBe(0);
  await until(relay, 'publishedEvents', lane).toBe(1_500);
});

test('each plan is counted with its events, and those without any are not', async () => {
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  const plans = async () => {
    const { values } = await relay.metrics.batchEvents.get();
    const of = (suffix: string) =>
      values.find(({ metricName }) => metricName === `postcommit_batch_events_${suffix}`)?.value;
    const small = values.find(({ labels }) => labels.le === 5)?.value;
    return { count: of('count'), sum: of('sum'), small };
  };
  await stage.write(3);
  await stage.untilDrained();
  await expect.poll(plans).toEqual({ count: 1, sum: 3, small: 1 });
  await stage.write(400);
  await stage.untilDrained();
  await expect.poll(plans).toEqual({ count: 2, sum: 403, small: 1 });
});

test('a former leader tells nothing of the backlog any more', async () => {
  await stage.jsm.streams.update(stage.stream, { max_msgs: 1, discard: DiscardPolicy.New });
  await using first = await stage.startRelay();
  await stage.write(20);
  await first.until('paused');
  await until(first, 'pendingEvents').toBeGreaterThanOrEqual(19);
  await until(first, 'oldestPendingAge').toBeGreaterThan(0);
  await until(first, 'outboxBytes').toBeGreaterThan(0);
  await using second = await stage.startRelay();
  await until(second, 'relayRole', { role: 'standby' }).toBe(1);
  await first.relay.stop({ graceMs: 0 });
  await until(second, 'pendingEvents').toBeGreaterThanOrEqual(19);
  for (const name of [
    'pendingEvents',
    'oldestPendingAge',
    'outboxBytes',
    'listenUp',
    'segmentBytes',
  ] as const)
    expect(await read(first, name), name).toBe(0);
  expect(await read(first, 'lanePaused'), 'a lane that is nobody’s').toBe(0);
});

test('what was stored in the last moment of a leadership is counted', async () => {
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  await stage.write(50);
  await stage.untilDrained();
  await relay.relay.stop();
  expect(await read(relay, 'publishedEvents', { stream: stage.stream })).toBe(50);
});

test('the listening session is told as down when it is lost, and as up when it is back', async () => {
  await using relay = await stage.startRelay();
  await until(relay, 'listenUp').toBe(1);
  const told = vi.spyOn(relay.metrics.listenUp, 'set');
  await stage.pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'postcommit listen' and datname = current_database()`,
  );
  await expect.poll(() => told.mock.calls.map(([value]) => value), { timeout: ROUND_MS }).toEqual([0, 1]);
});

test('behind a pooler nobody listens, and that is told', async () => {
  await using pooler = await startPgBouncer({ port: Number(new URL(stage.databaseUrl).port) });
  await using relay = await stage.startRelay({ databaseUrl: () => pooler.urlOf(stage.databaseUrl) });
  await until(relay, 'isLeader').toBe(1);
  await relay.until('publishing');
  expect([await read(relay, 'pooled'), await read(relay, 'listenUp')]).toEqual([1, 0]);
});

test('sizes of outbox, leaves and log are those of the database', async () => {
  await using relay = await stage.startRelay();
  await stage.write(2_000, { payload: 'x'.repeat(500) });
  await stage.untilDrained();
  const total = "select sum(pg_total_relation_size('postcommit.outbox_' || i)) from generate_series(0, 7) i";
  await until(relay, 'outboxBytes').toBe(await bytesOf(total));
  const leaf = await bytesOf("select pg_table_size('postcommit.outbox_0')");
  expect(leaf).toBeGreaterThan(1_000_000);
  expect(await read(relay, 'segmentBytes', { segment: '0' })).toBe(leaf);
  expect(await read(relay, 'segmentsInUse')).toBe(1);
  expect(await read(relay, 'segmentsOverdue')).toBe(0);
  await until(relay, 'batchLogBytes').toBe(
    await bytesOf("select pg_total_relation_size('postcommit.batches')"),
  );
});

test('a listener that does not get on fills the queue of notifications, and that is told', async () => {
  const listener = new pg.Client({ connectionString: stage.databaseUrl });
  listener.on('error', () => undefined);
  await listener.connect();
  await listener.query('listen somewhere');
  await listener.query('begin; select 1');
  await stage.pool.query(
    `select count(pg_notify('somewhere', i || repeat('x', 7000))) from generate_series(1, 50) i`,
  );
  await using relay = await stage.startRelay();
  await until(relay, 'notificationQueueUsage').toBeGreaterThan(0);
  await listener.end();
});
