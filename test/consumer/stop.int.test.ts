import { AckPolicy } from '@nats-io/jetstream';
import type pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { type ConsumeOptions, consume, type Handler } from '../../src/consumer/index.ts';
import { createScene, effect, type Scene, signal } from './scene.ts';

async function scene(): Promise<Scene> {
  const created = await createScene();
  onTestFinished(() => created[Symbol.asyncDispose]());
  return created;
}

async function start(
  here: Scene,
  handler: Handler<pg.PoolClient>,
  more: Partial<ConsumeOptions<pg.Pool>> = {},
) {
  const consumer = await consume({ ...here.options, ...more }, handler);
  onTestFinished(() => consumer.stop({ graceMs: 0 }));
  return consumer;
}

test('stop finishes the running handler, acknowledges it and hands back what was fetched', async () => {
  const here = await scene();
  for (let i = 0; i < 50; i++) await here.publish(i);
  const entered = signal();
  const leave = signal();
  const consumer = await start(here, async (event, context) => {
    entered.fire();
    await leave.fired;
    await effect(event, context);
  });
  await entered.fired;
  await expect
    .poll(async () => (await here.jsm.consumers.info(here.stream, here.durable)).num_ack_pending)
    .toBe(50);
  const stopped = consumer.stop();
  leave.fire();
  await stopped;
  await consumer.closed;
  expect(await here.effects()).toEqual([`${here.stream}:1`]);
  const deliveries: number[] = [];
  // The ack wait is half a minute: only what was handed back comes this fast.
  const second = await start(here, async (event, context) => {
    deliveries.push(event.deliveryCount);
    await effect(event, context);
  });
  await here.untilSettled();
  expect(new Set(await here.effects()).size).toBe(50);
  expect(deliveries).toHaveLength(49);
  expect(Math.max(...deliveries)).toBe(2);
  await second.stop();
  const { num_ack_pending } = await here.jsm.consumers.info(here.stream, here.durable);
  expect(num_ack_pending).toBe(0);
});

test('a grace of a month, longer than a timer of Node can be, is not over at once', async () => {
  const here = await scene();
  await here.publish('slow');
  const entered = signal();
  const leave = signal();
  let aborted: boolean | undefined;
  const consumer = await start(here, async (event, context) => {
    entered.fire();
    await leave.fired;
    aborted = context.signal.aborted;
    await effect(event, context);
  });
  await entered.fired;
  const stopped = consumer.stop({ graceMs: 30 * 86_400_000 });
  setTimeout(leave.fire, 300);
  await stopped;
  expect(aborted).toBe(false);
  expect(await here.effects()).toHaveLength(1);
});

test('stop aborts the signal of a handler after the grace, and hands its event back', async () => {
  const here = await scene();
  await here.publish('slow');
  const entered = signal();
  const consumer = await start(here, async (event, context) => {
    await effect(event, context);
    entered.fire();
    await new Promise((_, reject) =>
      context.signal.addEventListener('abort', () => reject(new Error('stopped'))),
    );
  });
  await entered.fired;
  await consumer.stop({ graceMs: 10 });
  expect(await here.effects()).toEqual([]);
  await start(here, effect);
  await here.untilSettled();
  expect(await here.effects()).toHaveLength(1);
});

test('stop does not wait for a handler that heeds nothing, and what that commits later counts once', async () => {
  const here = await scene();
  await here.publish('deaf');
  const entered = signal();
  const leave = signal();
  const consumer = await start(here, async (event, context) => {
    await effect(event, context);
    entered.fire();
    await leave.fired;
  });
  await entered.fired;
  await consumer.stop({ graceMs: 10 });
  const second = signal();
  await start(here, async (event, context) => {
    await effect(event, context);
    second.fire();
  });
  leave.fire();
  await here.untilSettled();
  expect(await here.effects()).toHaveLength(1);
});

test('stop is quiet when called twice, before anything came, and through `await using`', async () => {
  const here = await scene();
  {
    await using consumer = await start(here, effect);
    await consumer.ready;
    await Promise.all([consumer.stop(), consumer.stop()]);
  }
  await here.jsm.streams.delete(here.stream);
  const waiting = await start(here, effect);
  await waiting.stop();
  await expect(waiting.ready).rejects.toMatchObject({ code: 'stream-unsuitable' });
  await waiting.closed;
});

test("a connection of the caller's stays open", async () => {
  const here = await scene();
  const consumer = await start(here, effect, { nats: here.connection });
  await consumer.ready;
  await here.publish('one');
  await here.untilSettled();
  await consumer.stop();
  expect(here.connection.isClosed()).toBe(false);
});

test('what was read from the stream after a takeover is handed back by a stop, too', async () => {
  const here = await scene();
  for (let i = 0; i < 30; i++) await here.publish(i);
  // Somebody has them under way, and is gone.
  await here.jsm.consumers.add(here.stream, { durable_name: here.durable, ack_policy: AckPolicy.Explicit });
  const former = await here.jsm.jetstream().consumers.get(here.stream, here.durable);
  await former.fetch({ max_messages: 30, expires: 1_000 }).then(async (messages) => {
    for await (const _ of messages) if (messages.getReceived() === 30) break;
  });
  const entered = signal();
  const consumer = await start(here, async (_, { signal: aborted }) => {
    entered.fire();
    await new Promise((resolve) => aborted.addEventListener('abort', resolve));
    throw new Error('interrupted');
  });
  await entered.fired;
  await consumer.stop({ graceMs: 100 });
  // The ack wait is half a minute: only what was handed back comes this fast, to whoever asks.
  const sequences: number[] = [];
  for (let round = 0; round < 4 && sequences.length < 30; round++)
    for await (const message of await former.fetch({ max_messages: 30, expires: 5_000 })) {
      sequences.push(message.seq);
      if (sequences.length === 30) break;
    }
  expect(sequences.sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
});
