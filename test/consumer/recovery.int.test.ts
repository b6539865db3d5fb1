import { Writable } from 'node:stream';
import pg from 'pg';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type ConsumeOptions, consume, type Handler, Retry } from '../../src/consumer/index.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { startNatsWithStore } from '../support/nats-with-store.ts';
import { startNats, startPostgres } from '../support/services.ts';
import { createScene, effect, type Scene, type SceneOptions, signal } from './scene.ts';

async function scene(options?: SceneOptions): Promise<Scene> {
  const created = await createScene(options);
  onTestFinished(() => created[Symbol.asyncDispose]());
  return created;
}

/** A logger and its lines, with the time of each. */
function recordLogs() {
  const lines: { event: string; at: number }[] = [];
  const destination = new Writable({
    write(chunk, _, done) {
      lines.push({ ...JSON.parse(String(chunk)), at: performance.now() });
      done();
    },
  });
  return { lines, logger: createLogger({ destination }) };
}

const UNAVAILABLE = { key: 'consumer-lease-unavailable', none: 'consumer-database-unavailable' };

async function start(
  { options }: Scene,
  handler: Handler<pg.PoolClient> = effect,
  more: Partial<ConsumeOptions<pg.Pool>> = {},
) {
  const consumer = await consume({ ...options, ...more }, handler);
  onTestFinished(() => consumer.stop());
  return consumer;
}

test.each([
  // Where an order is kept the lease is lost with the database, and what was delivered is read from the stream afterwards.
  { order: 'key', deliveredAtMost: 2 },
  { order: 'none', deliveredAtMost: 1 },
] as const)(
  'an outage of the database pauses: nothing is handed back, and everything has one effect afterwards ($order)',
  async ({ order, deliveredAtMost }) => {
    const postgres = await startPostgres();
    onTestFinished(() => postgres[Symbol.asyncDispose]());
    const here = await scene({ databaseUrl: postgres.url });
    const { lines, logger } = recordLogs();
    const handedBack: string[] = [];
    const deliveries: number[] = [];
    here.connection.subscribe(`$JS.ACK.${here.stream}.>`, {
      callback(_, message) {
        if (message.string().startsWith('-NAK')) handedBack.push(message.subject);
      },
    });
    const entered = signal();
    const leave = signal();
    await start(
      here,
      async (event, context) => {
        deliveries.push(event.deliveryCount);
        entered.fire();
        await leave.fired;
        await effect(event, context);
      },
      { logger, order, prefetch: 8, ackWaitMs: 1_000 },
    );
    for (let i = 0; i < 30; i++) await here.publish(i);
    await entered.fired;
    // In the midst of a handler, whose client has no statement running.
    await postgres.stop('immediate');
    leave.fire();
    const outages = () => lines.filter(({ event }) => event === UNAVAILABLE[order]);
    // Longer than the ack wait.
    await expect.poll(() => outages().length, { timeout: 20_000 }).toBe(3);
    expect((await here.jsm.consumers.info(here.stream, here.durable)).num_ack_pending).toBeLessThanOrEqual(8);
    await postgres.start();
    await here.untilSettled();
    expect(await here.effects()).toEqual(Array.from({ length: 30 }, (_, i) => `${here.stream}:${i + 1}`));
    expect(handedBack).toEqual([]);
    expect(Math.max(...deliveries)).toBeLessThanOrEqual(deliveredAtMost);
    expect(await here.counted('failed')).toBe(0);
    const pauses = outages().map(({ at }, i, all) => at - (all[i - 1]?.at ?? Number.NEGATIVE_INFINITY));
    expect(Math.min(...pauses)).toBeGreaterThan(950);
  },
);

test('a pool nobody listens to does not end the process when its database restarts', async () => {
  const postgres = await startPostgres();
  onTestFinished(() => postgres[Symbol.asyncDispose]());
  const here = await scene({ databaseUrl: postgres.url });
  const pool = new pg.Pool({ connectionString: postgres.url });
  onTestFinished(() => pool.end());
  const consumer = await start(here, effect, { db: pool });
  await here.publish('before');
  await here.untilSettled();
  expect(pool.idleCount).toBeGreaterThan(0);
  await postgres.restart('fast');
  await here.publish('after');
  await here.untilSettled();
  expect(await here.effects()).toHaveLength(2);
  await consumer.stop();
  expect(pool.listenerCount('error') + pool.listenerCount('acquire') + pool.listenerCount('release')).toBe(0);
});

test('goes on by itself after the NATS server was restarted', async () => {
  const nats = await startNats();
  onTestFinished(() => nats[Symbol.asyncDispose]());
  const here = await scene({ nats: nats.url });
  const { lines, logger } = recordLogs();
  await start(here, effect, { logger });
  await here.publish('before');
  await here.untilSettled();
  const reconnected = reconnection(here);
  await nats.stop();
  await nats.start();
  await reconnected;
  await here.publish('after');
  await here.untilSettled();
  expect(await here.effects()).toEqual([`${here.stream}:1`, `${here.stream}:2`]);
  expect(lines.map(({ event }) => event)).toContain('consumer-interrupted');
});

async function reconnection({ connection }: Scene): Promise<void> {
  for await (const status of connection.status()) if (status.type === 'reconnect') return;
}

test('an ack that a restart swallowed costs a redelivery, not a second effect', async () => {
  const nats = await startNats();
  onTestFinished(() => nats[Symbol.asyncDispose]());
  const here = await scene({ nats: nats.url });
  const entered = signal();
  const leave = signal();
  await start(
    here,
    async (event, context) => {
      await effect(event, context);
      entered.fire();
      await leave.fired;
    },
    { ackWaitMs: 1_000 },
  );
  await here.publish('once');
  await entered.fired;
  await nats.stop();
  leave.fire();
  await expect.poll(() => here.effects()).toHaveLength(1);
  const reconnected = reconnection(here);
  await nats.start();
  await reconnected;
  await here.untilSettled();
  expect(await here.effects()).toHaveLength(1);
  expect((await here.counted('effect')) + (await here.counted('duplicate'))).toBeGreaterThanOrEqual(1);
});

test('a durable that was deleted comes back, without a gap where it was to begin with new messages', async () => {
  const here = await scene();
  await here.publish('older');
  const consumer = await start(here, effect, { deliverPolicy: 'new' });
  await consumer.ready;
  await here.publish('first');
  await here.untilSettled();
  await here.jsm.consumers.delete(here.stream, here.durable);
  await here.publish('in between');
  await here.untilSettledWhenBack();
  await here.publish('last');
  await here.untilSettled();
  expect(await here.effects()).toEqual([2, 3, 4].map((sequence) => `${here.stream}:${sequence}`));
});

test('a stream that does not exist yet is waited for, and one that was recreated is consumed from its start', async () => {
  const here = await scene();
  const config = (await here.jsm.streams.info(here.stream)).config;
  await here.jsm.streams.delete(here.stream);
  const { lines, logger } = recordLogs();
  const consumer = await start(here, effect, { logger, deliverPolicy: 'new' });
  await expect.poll(() => lines.map(({ event }) => event)).toContain('consumer-interrupted');
  await here.jsm.streams.add(config);
  await consumer.ready;
  await here.publish('first', { 'Nats-Msg-Id': 'a' });
  await here.untilSettled();
  await here.jsm.streams.delete(here.stream);
  await here.jsm.streams.add(config);
  await here.publish('first of the new one', { 'Nats-Msg-Id': 'b' });
  await here.untilSettledWhenBack();
  expect(await here.effects()).toEqual(['a', 'b']);
});

test.each(['key', 'none'] as const)(
  'a stream that has lost its tail, and with it what the durable knew: what comes in its place is consumed (%s)',
  async (order) => {
    const nats = await startNatsWithStore(startNats);
    onTestFinished(() => nats[Symbol.asyncDispose]());
    const here = await scene({ nats: nats.url });
    const publish = async (name: string, count: number) => {
      for (let i = 0; i < count; i++)
        await here.publish(i, { 'Postcommit-Key': `key-${i % 2}`, 'Postcommit-Event-Id': `${name}-${i}` });
    };
    await start(here, effect, { order, ackWaitMs: 1_000, concurrency: 2 });
    const count = async () => (await here.effects()).length;
    await publish('kept', 10);
    await expect.poll(count, { timeout: 60_000 }).toBe(10);
    await nats.keepStore();
    await vi.waitFor(() => publish('lost', 5), { timeout: 60_000, interval: 100 });
    await expect.poll(count, { timeout: 60_000 }).toBe(15);
    await nats.restoreStore();
    await vi.waitFor(() => here.jsm.streams.info(here.stream), { timeout: 60_000, interval: 100 });
    expect((await here.jsm.streams.info(here.stream)).state.last_seq).toBe(10);
    await publish('new', 8);
    await expect.poll(count, { timeout: 60_000 }).toBe(23);
    await here.untilSettledWhenBack();
    const effects = await here.effects();
    expect(new Set(effects).size).toBe(23);
    if (order === 'key')
      for (const key of [0, 1])
        expect(effects.filter((id) => id.startsWith('new') && Number(id.split('-')[1]) % 2 === key)).toEqual(
          [0, 2, 4, 6].map((i) => `new-${i + key}`),
        );
  },
);

// The durable's own files have lost nothing, as where a copy of the messages was restored: it is further than its stream, or
// (`meanwhile`) than what the stream holds since.
test.each([
  { order: 'key', meanwhile: 0 },
  { order: 'none', meanwhile: 0 },
  { order: 'key', meanwhile: 9 },
  { order: 'none', meanwhile: 9 },
] as const)(
  'a durable that got further than its stream goes back to where they agree ($order, $meanwhile meanwhile)',
  async ({ order, meanwhile }) => {
    const nats = await startNatsWithStore(startNats);
    onTestFinished(() => nats[Symbol.asyncDispose]());
    const here = await scene({ nats: nats.url });
    const publish = async (name: string, count: number) => {
      for (let i = 0; i < count; i++) await here.publish(i, { 'Postcommit-Event-Id': `${name}-${i}` });
    };
    const { lines, logger } = recordLogs();
    const count = async () => (await here.effects()).length;
    await publish('kept', 10);
    const first = await start(here, effect, { order });
    await here.untilSettled();
    await nats.keepStore();
    await vi.waitFor(() => publish('lost', 5), { timeout: 60_000, interval: 100 });
    await here.untilSettledWhenBack();
    await first.stop();
    await nats.restoreMessages();
    await vi.waitFor(() => publish('new', meanwhile), { timeout: 60_000, interval: 100 });
    const look = () => here.jsm.consumers.info(here.stream, here.durable);
    const durable = await vi.waitFor(look, { timeout: 60_000, interval: 100 });
    // Newer servers put it back themselves when they start (2.15.1 does, 2.9.10 and 2.10.27 do not).
    const moves = durable.delivered.stream_seq > 10 ? 1 : 0;
    if (nats.version.startsWith('2.9.')) expect(moves).toBe(1);
    await start(here, effect, { order, logger });
    await expect.poll(count, { timeout: 60_000 }).toBe(15 + meanwhile);
    const moved = expect.objectContaining({ event: 'consumer-moved-back', to: 10 });
    if (moves > 0) await expect.poll(() => lines, { timeout: 60_000 }).toContainEqual(moved);
    // As it heals: what was lost comes again, elsewhere.
    await publish('lost', 5);
    await publish('newer', 3);
    await expect.poll(count, { timeout: 60_000 }).toBe(18 + meanwhile);
    await here.untilSettledWhenBack();
    expect(new Set(await here.effects()).size).toBe(18 + meanwhile);
    expect(lines.filter(({ event }) => event === 'consumer-moved-back')).toHaveLength(moves);
    const { rows } = await here.pool.query(
      `select sequence::int from postcommit.inbox where event_id like 'lost-%' order by 1`,
    );
    expect(rows.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5].map((i) => 10 + meanwhile + i));
  },
);

test('a durable that began with new messages, and whose first one fails: the next instance reads no history', async () => {
  const here = await scene();
  for (let i = 0; i < 20; i++) await here.publish(`old ${i}`);
  let attempts = 0;
  const failing = await start(
    here,
    () => {
      attempts++;
      throw new Retry(600_000);
    },
    { deliverPolicy: 'new' },
  );
  await failing.ready;
  await here.publish('new', { 'Postcommit-Event-Id': 'new' });
  await expect.poll(() => attempts).toBe(1);
  await failing.stop();
  await start(here, effect, { deliverPolicy: 'new' });
  await expect.poll(() => here.effects(), { timeout: 10_000 }).toEqual(['new']);
  await here.untilSettled();
  expect(await here.effects()).toEqual(['new']);
});

test.each(['key', 'none'] as const)(
  'another message at the sequence of one that is still in hand is not taken for it (%s)',
  async (order) => {
    const here = await scene();
    const entered = signal();
    const leave = signal();
    await here.publish('former', { 'Postcommit-Event-Id': 'former', 'Postcommit-Key': 'a' });
    await start(
      here,
      async (event, context) => {
        if (event.id === 'former') {
          entered.fire();
          await leave.fired;
        }
        await effect(event, context);
      },
      { order, concurrency: 2, ackWaitMs: 1_000 },
    );
    await entered.fired;
    await here.jsm.streams.delete(here.stream);
    await here.jsm.streams.add({ name: here.stream, subjects: [`${here.stream}.>`] });
    await here.publish('later', { 'Postcommit-Event-Id': 'later', 'Postcommit-Key': 'b' });
    await expect.poll(() => here.effects(), { timeout: 20_000 }).toEqual(['later']);
    leave.fire();
    await expect.poll(() => here.effects(), { timeout: 10_000 }).toEqual(['later', 'former']);
    await here.untilSettledWhenBack();
  },
);

test('what lay at the same sequences of a former incarnation of the stream does not pass for done', async () => {
  const here = await scene();
  const publish = async (name: string) => {
    for (let i = 0; i < 5; i++) await here.publish(i, { 'Postcommit-Event-Id': `${name}-${i}` });
  };
  await publish('old');
  const first = await start(here);
  await expect.poll(async () => (await here.effects()).length, { timeout: 10_000 }).toBe(5);
  await first.stop();
  await here.jsm.streams.delete(here.stream);
  await here.jsm.streams.add({ name: here.stream, subjects: [`${here.stream}.>`] });
  await publish('new');
  let attempts = 0;
  const second = await start(here, () => {
    attempts++;
    throw new Retry(600_000);
  });
  await expect.poll(() => attempts, { timeout: 10_000 }).toBe(1);
  await second.stop();
  await start(here);
  await expect.poll(async () => (await here.effects()).length, { timeout: 10_000 }).toBe(10);
  expect((await here.effects()).slice(5)).toEqual([0, 1, 2, 3, 4].map((i) => `new-${i}`));
});

test('consumers of a process do not take each other the connections away', async () => {
  const here = await scene();
  const few = new pg.Pool({ connectionString: here.database.url, max: 2 });
  onTestFinished(() => few.end());
  for (let i = 0; i < 10; i++) await here.publish(i);
  const durables = Array.from({ length: 6 }, (_, i) => `consumer-${i}`);
  await Promise.all(durables.map((durable) => start(here, effect, { durable, db: few })));
  await expect.poll(async () => (await here.effects()).length, { timeout: 20_000 }).toBe(60);
});

test('durables of the same name on two streams work side by side', async () => {
  const here = await scene();
  const other = await scene();
  await here.publish('here');
  await other.publish('there');
  const [one, two] = [await start(here), await start(here, effect, { stream: other.stream })];
  await expect
    .poll(async () => (await here.effects()).sort())
    .toEqual([`${here.stream}:1`, `${other.stream}:1`].sort());
  expect([one.role, two.role]).toEqual(['active', 'active']);
});

test('a connection that is closed under the consumer ends it, and says so', async () => {
  const here = await scene();
  const other = await createScene();
  const { lines, logger } = recordLogs();
  const consumer = await start(here, effect, { nats: other.connection, logger, stream: other.stream });
  await consumer.ready;
  await other[Symbol.asyncDispose]();
  await expect(consumer.closed).rejects.toMatchObject({ code: 'broker-unreachable' });
  expect(lines.map(({ event }) => event)).toContain('consumer-failed');
});

test('a connection that is closed under a standby ends it, too', async () => {
  const here = await scene();
  const other = await createScene();
  await start(here, effect, { stream: other.stream, db: here.pool });
  await expect
    .poll(
      async () =>
        (await here.pool.query('select from postcommit.consumer_leases where holder is not null')).rowCount,
    )
    .toBe(1);
  const standby = await start(here, effect, { nats: other.connection, stream: other.stream });
  await standby.ready;
  expect(standby.role).toBe('standby');
  await other[Symbol.asyncDispose]();
  await expect(standby.closed).rejects.toMatchObject({ code: 'broker-unreachable' });
});
