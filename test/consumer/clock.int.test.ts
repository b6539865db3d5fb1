import type pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { type ConsumeOptions, consume, type Handler, Retry } from '../../src/consumer/index.ts';
import { createFakeClock } from '../../src/testing/index.ts';
import { createScene, effect, type Scene } from './scene.ts';

async function scene(): Promise<Scene> {
  const created = await createScene();
  onTestFinished(() => created[Symbol.asyncDispose]());
  return created;
}

async function start(
  { options }: Scene,
  more: Partial<ConsumeOptions<pg.Pool>>,
  handler: Handler<pg.PoolClient>,
) {
  const consumer = await consume({ ...options, ...more }, handler);
  onTestFinished(() => consumer.stop());
  return consumer;
}

test.each(['key', 'stream', 'none'] as const)(
  'a retry in a day comes when the clock of the test says so, and not before (%s)',
  async (order) => {
    const here = await scene();
    const clock = createFakeClock();
    await here.publish('stubborn', { 'Postcommit-Event-Id': 'e1' });
    const deliveries: number[] = [];
    await start(here, { order, clock }, async (event, context) => {
      await effect(event, context);
      deliveries.push(event.deliveryCount);
      if (deliveries.length < 3) throw new Retry(86_400_000);
    });
    await expect.poll(() => clock.waiting).toEqual([86_400_000]);
    clock.advance(86_399_999);
    expect(clock.waiting).toEqual([1]);
    expect(deliveries).toEqual([1]);
    clock.advance(1);
    await expect.poll(() => deliveries).toEqual([1, 2]);
    expect(await here.effects()).toEqual([]);
    expect(await clock.advanceToNext()).toBe(86_400_000);
    await here.untilSettled();
    expect(deliveries).toEqual([1, 2, 3]);
    expect(await here.effects()).toEqual(['e1']);
  },
);

test('the delays of backoff double, and the last attempt is a dead letter, in no time', async () => {
  const here = await scene();
  const clock = createFakeClock();
  await here.publish('never');
  await start(here, { clock, maxAttempts: 5, backoff: { firstMs: 60_000, maxMs: 200_000 } }, () => {
    throw new Error('not today');
  });
  const delays: number[] = [];
  for (let attempt = 1; attempt < 5; attempt++) delays.push(await clock.advanceToNext());
  const within = (ceiling: number, ms = 0) => ms >= ceiling / 2 && ms <= ceiling;
  expect([60_000, 120_000, 200_000, 200_000].map((ceiling, i) => within(ceiling, delays[i]))).toEqual([
    true,
    true,
    true,
    true,
  ]);
  await here.untilSettled();
  expect(await here.counted('dead')).toBe(1);
});

test('behind an event that waits for the clock its key waits, and other keys go on', async () => {
  const here = await scene();
  const clock = createFakeClock();
  for (const [id, key] of [
    ['a1', 'a'],
    ['a2', 'a'],
    ['b1', 'b'],
  ] as const)
    await here.publish(id, { 'Postcommit-Event-Id': id, 'Postcommit-Key': key });
  let failed = false;
  await start(here, { clock }, async (event, context) => {
    await effect(event, context);
    if (event.id !== 'a1' || failed) return;
    failed = true;
    throw new Retry(60_000);
  });
  await expect.poll(() => here.effects()).toEqual(['b1']);
  await clock.advanceToNext();
  await here.untilSettled();
  expect(await here.effects()).toEqual(['b1', 'a1', 'a2']);
});

test("with order 'none' a message in hand is kept alive past the ack wait, and handed back at a stop", async () => {
  const here = await scene();
  const clock = createFakeClock();
  await here.publish('stubborn');
  let attempts = 0;
  const options = { order: 'none', clock, ackWaitMs: 300 } as const;
  const consumer = await start(here, options, () => {
    attempts++;
    throw new Retry(60_000);
  });
  await expect.poll(() => clock.waiting).toEqual([60_000]);
  const info = () => here.jsm.consumers.info(here.stream, here.durable);
  // Three times the ack wait: what nobody keeps alive would have come again.
  await new Promise((later) => setTimeout(later, 1_000));
  expect([attempts, (await info()).num_redelivered]).toEqual([1, 0]);
  await consumer.stop();
  let again = 0;
  await start(here, { order: 'none' }, () => {
    again++;
  });
  await here.untilSettled();
  expect([attempts, again]).toEqual([1, 1]);
});
