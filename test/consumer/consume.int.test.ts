import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { type ConsumedEvent, type ConsumeOptions, consume, type Handler } from '../../src/consumer/index.ts';
import { countdown, createScene, effect, type Scene, signal } from './scene.ts';

async function scene(): Promise<Scene> {
  const created = await createScene();
  onTestFinished(() => created[Symbol.asyncDispose]());
  return created;
}

async function start(
  { options }: Scene,
  handler: Handler<pg.PoolClient>,
  more: Partial<ConsumeOptions<pg.Pool>> = {},
) {
  const consumer = await consume({ ...options, backoff: { firstMs: 20, maxMs: 200 }, ...more }, handler);
  onTestFinished(() => consumer.stop());
  return consumer;
}

test('hands over an event as the relay published it, once, and acknowledges it', async () => {
  const here = await scene();
  const id = randomUUID();
  await here.publish(
    { patient: 7 },
    {
      'Nats-Msg-Id': 'something else',
      'Postcommit-Event-Id': id,
      'Postcommit-Source': 'clinic',
      'Postcommit-Position': '41',
      'Postcommit-Key': 'patient-7',
      'Postcommit-Type': 'patient.registered',
      traceparent: '00-1',
    },
  );
  const { fired, fire } = signal<ConsumedEvent>();
  await start(here, async (event, context) => {
    await effect(event, context);
    fire(event);
  });
  const event = await fired;
  expect(event).toMatchObject({
    id,
    subject: `${here.stream}.event`,
    key: 'patient-7',
    type: 'patient.registered',
    headers: { traceparent: '00-1' },
    stream: here.stream,
    sequence: 1,
    position: 41,
    redelivered: false,
    deliveryCount: 1,
  });
  expect(event.json()).toEqual({ patient: 7 });
  expect(Object.keys(event.headers)).toEqual(['traceparent']);
  expect(Math.abs(event.time.getTime() - Date.now())).toBeLessThan(60_000);
  await here.untilSettled();
  expect(await here.effects()).toEqual([id]);
  expect(await here.inboxIds()).toEqual([id]);
  expect(await here.counted('effect')).toBe(1);
});

test("hands over a subject that begins like a byte order mark, which the client's decoder drops", async () => {
  const here = await scene();
  const subject = `\ufeff${here.stream}.event`;
  await here.jsm.streams.update(here.stream, { subjects: [`\ufeff${here.stream}.*`] });
  await here.jsm.jetstream().publish(subject, 'x');
  const { fired, fire } = signal<ConsumedEvent>();
  await start(here, (event) => fire(event));
  expect((await fired).subject).toBe(subject);
});

test('has one effect for an event that arrives six times, and counts the duplicates', async () => {
  const here = await scene();
  const id = randomUUID();
  for (let i = 0; i < 6; i++) await here.publish(i, { 'Postcommit-Event-Id': id });
  await start(here, effect, { confirmAck: true });
  await here.untilSettled();
  expect(await here.effects()).toEqual([id]);
  await expect.poll(() => here.counted('duplicate')).toBe(5);
});

test('has one effect for a message that is delivered again five times', async () => {
  const here = await scene();
  const sequence = await here.publish('once');
  // A durable that is created anew knows nothing of what was acknowledged.
  await start(here, effect);
  await here.untilSettled();
  const { pool, stream } = here;
  for (let i = 0; i < 5; i++) {
    await here.jsm.consumers.delete(stream, here.durable);
    await expect.poll(() => here.counted('duplicate'), { timeout: 20_000 }).toBe(i + 1);
  }
  expect(await here.effects()).toEqual([`${stream}:${sequence}`]);
  expect((await pool.query('SELECT 1 FROM postcommit.inbox')).rowCount).toBe(1);
});

test('takes the events of a stream in its order', async () => {
  const here = await scene();
  for (let i = 0; i < 300; i++) await here.publish(i);
  await start(here, effect, { prefetch: 16 });
  await here.untilSettled();
  const expected = Array.from({ length: 300 }, (_, i) => `${here.stream}:${i + 1}`);
  expect(await here.effects()).toEqual(expected);
});

test('runs as many handlers at a time as asked for', async () => {
  const here = await scene();
  for (let i = 0; i < 4; i++) await here.publish(i);
  const all = countdown(4);
  await start(
    here,
    async (event, context) => {
      all.call();
      await all.done;
      await effect(event, context);
    },
    { concurrency: 4, order: 'none' },
  );
  await here.untilSettled();
  expect(await here.effects()).toHaveLength(4);
});

test('a handler that throws leaves no effect and no inbox row, and gets the event again, later each time', async () => {
  const here = await scene();
  await here.publish('stubborn');
  const seen: { at: number; count: number; redelivered: boolean }[] = [];
  let inboxDuringFailure: string[] | undefined;
  await start(here, async (event, context) => {
    seen.push({ at: performance.now(), count: event.deliveryCount, redelivered: event.redelivered });
    await effect(event, context);
    if (seen.length === 4) inboxDuringFailure = [...(await here.inboxIds()), ...(await here.effects())];
    if (seen.length < 4) throw new Error('not yet');
  });
  await here.untilSettled();
  expect(inboxDuringFailure).toEqual([]);
  expect(seen.map(({ count }) => count)).toEqual([1, 2, 3, 4]);
  expect(seen.map(({ redelivered }) => redelivered)).toEqual([false, true, true, true]);
  const gaps = seen.slice(1).map(({ at }, i) => at - (seen[i]?.at ?? 0));
  // Half of 20, 40 and 80 ms at the least.
  expect(gaps.map((gap, i) => gap >= 9 * 2 ** i)).toEqual([true, true, true]);
  expect(await here.effects()).toHaveLength(1);
  expect(await here.counted('failed')).toBe(3);
});

test('an event whose handler fails does not hold up those of other keys', async () => {
  const here = await scene();
  await here.publish('poison', { 'Postcommit-Key': 'a' });
  await here.publish('good', { 'Postcommit-Key': 'b' });
  const good = signal();
  await start(here, async (event, context) => {
    if (event.json() === 'poison') throw new Error('never');
    await effect(event, context);
    good.fire();
  });
  await good.fired;
  await expect.poll(() => here.effects()).toEqual([`${here.stream}:2`]);
});

test('keys run side by side, the events of one key never do', async () => {
  const here = await scene();
  for (let i = 0; i < 30; i++) await here.publish(i, { 'Postcommit-Key': `key-${i % 3}` });
  const running = new Map<string | null, number>();
  const all = countdown(3);
  let together = 0;
  await start(
    here,
    async (event, context) => {
      const own = (running.get(event.key) ?? 0) + 1;
      running.set(event.key, own);
      together = Math.max(together, own);
      all.call();
      await all.done; // The first of each key wait for each other.
      await effect(event, context);
      running.set(event.key, (running.get(event.key) ?? 0) - 1);
    },
    { concurrency: 3 },
  );
  await here.untilSettled();
  expect(together).toBe(1);
  expect(await here.effects()).toHaveLength(30);
});

test.each([
  { order: 'key', expected: { failed: ['a1', 'a2', 'a3'], first: 'b1' } },
  { order: 'stream', expected: { failed: ['a1', 'a2', 'a3'], first: 'a1' } },
] as const)(
  'order $order: behind one that fails its line waits, and nothing else',
  async ({ order, expected }) => {
    const here = await scene();
    for (const name of ['a1', 'b1', 'a2', 'b2', 'a3'])
      await here.publish(name, { 'Postcommit-Key': name.slice(0, 1), 'Postcommit-Event-Id': name });
    let failures = 0;
    await start(
      here,
      async (event, context) => {
        if (event.id === 'a1' && failures++ < 3) throw new Error('not yet');
        await effect(event, context);
      },
      { order, concurrency: 2, backoff: { firstMs: 50, maxMs: 50 } },
    );
    await here.untilSettled();
    const effects = await here.effects();
    expect(effects[0]).toBe(expected.first);
    expect(effects.filter((id) => id.startsWith('a'))).toEqual(expected.failed);
    if (order === 'stream') expect(effects).toEqual(['a1', 'b1', 'a2', 'b2', 'a3']);
  },
);

test('a handler that swallows a failed statement has failed', async () => {
  const here = await scene();
  await here.publish('swallow');
  const attempts = countdown(2);
  await start(here, async (event, context) => {
    await effect(event, context);
    attempts.call();
    if (!event.redelivered) await context.tx.query('SELECT 1/0').catch(() => undefined);
  });
  await attempts.done;
  await here.untilSettled();
  expect(await here.effects()).toHaveLength(1);
  expect(await here.counted('failed')).toBe(1);
});

test('a handler that ends the transaction itself has failed', async () => {
  const here = await scene();
  await here.publish('rollback');
  await start(here, async (event, context) => {
    await effect(event, context);
    if (!event.redelivered) await context.tx.query('ROLLBACK');
  });
  await here.untilSettled();
  expect(await here.effects()).toHaveLength(1);
  expect(await here.counted('failed')).toBe(1);
});

test('a constraint checked at commit is the fault of the event, not an outage', async () => {
  const here = await scene();
  await here.pool.query('CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
  await here.publish('late');
  await start(here, async (event, { tx }) => {
    await tx.query('INSERT INTO late VALUES ($1), (1)', [event.redelivered ? 2 : 1]);
  });
  await here.untilSettled();
  expect(await here.counted('failed')).toBe(1);
  expect(await here.counted('effect')).toBe(1);
});

test('follow-up events commit with the effect, and roll back with it', async () => {
  const here = await scene();
  await here.publish('follow up');
  await start(here, async (event, context) => {
    await effect(event, context);
    await context.enqueue({ subject: 'events.next', payload: event.deliveryCount });
    await context.enqueue([{ subject: 'events.next', payload: event.deliveryCount }]);
    if (!event.redelivered) throw new Error('not yet');
  });
  await here.untilSettled();
  const { rows } = await here.pool.query('SELECT payload FROM postcommit.outbox');
  expect(rows.map((row) => row.payload.toString())).toEqual(['2', '2']);
});

test('an effect is durable where the role commits asynchronously by default', async () => {
  const here = await scene();
  await here.publish('durable');
  here.pool.on('connect', (client) => void client.query('SET synchronous_commit = off'));
  await here.pool.query(`
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO effects (event_id) VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
    CREATE TABLE subjects (id int);
    CREATE CONSTRAINT TRIGGER note AFTER INSERT ON subjects DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note()`);
  await start(here, async (_, { tx }) => {
    await tx.query('SET LOCAL synchronous_commit = off; INSERT INTO subjects VALUES (1)');
  });
  await here.untilSettled();
  expect(await here.effects()).toEqual(['on']);
});

test('two instances racing for an event have one effect', async () => {
  const here = await scene();
  const id = randomUUID();
  // Two messages with one id: each instance gets one, and both handlers would run at the same time.
  for (let i = 0; i < 40; i++)
    await here.publish(i, { 'Postcommit-Event-Id': i % 2 === 0 ? id : `${id}-${i}` });
  const shared = { prefetch: 1, order: 'none' } as const;
  await Promise.all([start(here, effect, shared), start(here, effect, shared)]);
  await here.untilSettled();
  const effects = await here.effects();
  expect(effects.filter((effectId) => effectId === id)).toHaveLength(1);
  expect(effects).toHaveLength(21);
});

test('a second delivery waits for the outcome of the first, and runs when that fails', async () => {
  const here = await scene();
  const id = randomUUID();
  await here.publish('first', { 'Postcommit-Event-Id': id });
  const entered = signal();
  const leave = signal();
  await start(
    here,
    async (event, context) => {
      await effect(event, context);
      if (event.redelivered || event.sequence === 2) return;
      entered.fire();
      await leave.fired;
      throw new Error('the first one fails');
    },
    { concurrency: 2, order: 'none' },
  );
  await entered.fired;
  await here.publish('second', { 'Postcommit-Event-Id': id });
  const blocked =
    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
  await expect.poll(async () => (await here.pool.query(blocked)).rowCount).toBe(1);
  leave.fire();
  await here.untilSettled();
  expect(await here.effects()).toEqual([id]);
});

test('passes over markers without a handler or an inbox row', async () => {
  const here = await scene();
  await here.publish('', { 'Postcommit-Skipped': randomUUID(), 'Postcommit-Position': '3' });
  await here.publish('real');
  await start(here, effect);
  await here.untilSettled();
  expect(await here.effects()).toEqual([`${here.stream}:2`]);
  expect(await here.inboxIds()).toEqual([`${here.stream}:2`]);
  expect(await here.counted('skipped')).toBe(1);
});

test('takes messages of other publishers: by their message id, else by their place', async () => {
  const here = await scene();
  await here.publish('with an id', { 'Nats-Msg-Id': 'order-17' });
  await here.connection.request(`${here.stream}.bare`, 'not json');
  const events: ConsumedEvent[] = [];
  await start(here, (event) => void events.push(event));
  await here.untilSettled();
  expect(events.map(({ id }) => id)).toEqual(['order-17', `${here.stream}:2`]);
  expect(events[1]).toMatchObject({ key: null, type: null, position: null, headers: {} });
  expect(() => events[1]?.json()).toThrow(SyntaxError);
});

test('a slow handler is not interrupted by a redelivery, nor is what waits behind it', async () => {
  const here = await scene();
  await here.publish('slow');
  await here.publish('behind');
  const entered = signal();
  const leave = signal();
  const deliveries: number[] = [];
  await start(
    here,
    async (event, context) => {
      deliveries.push(event.deliveryCount);
      await effect(event, context);
      entered.fire();
      if (event.sequence === 1) await leave.fired;
    },
    { ackWaitMs: 500 },
  );
  await entered.fired;
  // Signs of life on the wire, for longer than the ack wait.
  const signs = countdown(2 * 8);
  const watch = here.connection.subscribe(`$JS.ACK.${here.stream}.>`, {
    callback(_, message) {
      if (message.string() === '+WPI') signs.call();
    },
  });
  await signs.done;
  watch.unsubscribe();
  leave.fire();
  await here.untilSettled();
  expect(deliveries).toEqual([1, 1]);
});

test('only messages on the subjects asked for are delivered', async () => {
  const here = await scene();
  await here.publish('not this one');
  await here.connection.request(`${here.stream}.wanted.a`, '');
  await start(here, effect, { subjects: [`${here.stream}.wanted.*`] });
  await here.untilSettled();
  expect(await here.effects()).toEqual([`${here.stream}:2`]);
});

test.each([
  ['new', 'new' as const, [4]],
  ['from a sequence', { fromSequence: 3 }, [3, 4]],
])('a durable that is created begins where it is told to: %s', async (_, deliverPolicy, expected) => {
  const here = await scene();
  for (let i = 0; i < 3; i++) await here.publish(i);
  const consumer = await start(here, effect, { deliverPolicy });
  await consumer.ready;
  await here.publish('later');
  await here.untilSettled();
  expect(await here.effects()).toEqual(expected.map((sequence) => `${here.stream}:${sequence}`));
});

test('a durable that is created begins at the time it is told to', async () => {
  const here = await scene();
  for (let i = 0; i < 3; i++) await here.publish(i);
  const times = await Promise.all([1, 2, 3].map((seq) => here.jsm.streams.getMessage(here.stream, { seq })));
  const fromTime = times[2]?.time ?? new Date(0);
  const expected = times.filter((message) => message !== null && message.time >= fromTime);
  await start(here, effect, { deliverPolicy: { fromTime } });
  await here.untilSettled();
  expect(await here.effects()).toEqual(expected.map((message) => `${here.stream}:${message?.seq}`));
});
