import { drizzle } from 'drizzle-orm/node-postgres';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { consume, consumeBatches, createMetrics, Reject } from '../../src/consumer/index.ts';
import { query } from '../support/query.ts';
import { createScene, effect, type Scene, signal } from './scene.ts';

let here: Scene;
beforeEach(async () => {
  here = await createScene();
});
afterEach(() => here[Symbol.asyncDispose]());

type Name = keyof Omit<Scene['metrics'], 'registry'>;

/** A metric's sample for the scene's consumer; undefined if there is none. */
async function read(name: Name, metrics = here.metrics): Promise<number | undefined> {
  const { values } = await metrics[name].get();
  return values.find(({ labels }) => Reflect.get(labels, 'consumer') === here.durable)?.value;
}

/** Measured every ten seconds. */
const MEASURED_MS = 25_000;

function until(name: Name, metrics = here.metrics) {
  return expect.poll(() => read(name, metrics), { timeout: MEASURED_MS, interval: 20 });
}

async function countOf(name: 'storedToEffect' | 'handlerSeconds'): Promise<number | undefined> {
  const { values } = await here.metrics[name].get();
  return values.find(({ metricName }) => metricName?.endsWith('_count'))?.value;
}

test('of two instances one is told as active, and after its stop the other', async () => {
  const [one, other] = [createMetrics(), createMetrics()];
  const first = await consume({ ...here.options, metrics: one }, effect);
  await until('activeConsumers', one).toBe(1);
  const second = await consume({ ...here.options, metrics: other }, effect);
  onTestFinished(() => second.stop());
  await second.ready;
  expect(await read('activeConsumers', other)).toBe(0);
  await first.stop();
  expect(await read('activeConsumers', one)).toBe(0);
  await until('activeConsumers', other).toBe(1);
  await second.stop();
  expect(await read('activeConsumers', other)).toBe(0);
});

test('two instances in one process share the gauge: it says that one works', async () => {
  const first = await consume(here.options, effect);
  const second = await consume(here.options, effect);
  onTestFinished(() => second.stop());
  await Promise.all([first.ready, second.ready]);
  await until('activeConsumers').toBe(1);
  await first.stop();
  await until('activeConsumers').toBe(1);
  await second.stop();
  expect(await read('activeConsumers')).toBe(0);
});

test('without an order every instance is active', async () => {
  const consumer = await consume({ ...here.options, order: 'none' }, effect);
  expect(await read('activeConsumers')).toBe(1);
  await consumer.stop();
  expect(await read('activeConsumers')).toBe(0);
});

test('what waits in the stream and what is under way is told while a handler holds everything up', async () => {
  for (let i = 0; i < 20; i++) await here.publish(i);
  const { fired, fire } = signal();
  const consumer = await consume(
    { ...here.options, prefetch: 5, order: 'stream' },
    async (event, context) => {
      await fired;
      await effect(event, context);
    },
  );
  await until('consumerPending').toBe(15);
  await until('consumerAckPending').toBe(5);
  fire();
  await here.untilSettled();
  await until('consumerPending').toBe(0);
  await until('consumerAckPending').toBe(0);
  await consumer.stop();
  expect([await read('consumerPending'), await read('consumerAckPending')]).toEqual([undefined, undefined]);
});

test('each effect is timed from the storing of its event; duplicates, dead letters and their retries are not', async () => {
  for (let i = 0; i < 5; i++) await here.publish(i, { 'Postcommit-Event-Id': `id-${i % 4}` });
  let hopeless = true;
  const consumer = await consume(here.options, async (event, context) => {
    if (event.id === 'id-2' && hopeless) throw new Reject('no such ward');
    await effect(event, context);
  });
  onTestFinished(() => consumer.stop());
  await here.untilSettled();
  await expect.poll(() => here.counted('effect')).toBe(3);
  expect([await here.counted('duplicate'), await here.counted('dead')]).toEqual([1, 1]);
  expect(await countOf('storedToEffect')).toBe(3);
  hopeless = false;
  await query(here.database.url, `update postcommit.dead_letters set state = 'retrying'`);
  await expect.poll(() => here.counted('effect'), { timeout: 10_000 }).toBe(4);
  expect(await countOf('storedToEffect')).toBe(3);
  expect(await countOf('handlerSeconds')).toBe(5);
});

test('what the inbox and the dead letters hold is told from the start', async () => {
  await query(
    here.database.url,
    `insert into postcommit.inbox (consumer, event_id) select '${here.durable}', i::text from generate_series(1, 42) i;
     insert into postcommit.inbox (consumer, event_id) values ('another', '1');
     insert into postcommit.dead_letters (consumer, stream, event_id, subject, state, reason)
       select '${here.durable}', '${here.stream}', i::text, 'a.b', state, 'a test'
         from generate_series(1, 3) i, unnest(array['parked', 'resolved']) state;
     insert into postcommit.dead_letters (consumer, stream, event_id, subject, reason) values ('another', 's', '1', 'a.b', 'a test')`,
  );
  const consumer = await consume(here.options, effect);
  onTestFinished(() => consumer.stop());
  await until('inboxRows').toBe(42);
  await until('consumerDeadLetters').toBe(3);
  await consumer.stop();
  expect([await read('inboxRows'), await read('consumerDeadLetters')]).toEqual([undefined, undefined]);
});

test('the same through Drizzle, where many rows are estimated', async () => {
  await query(
    here.database.url,
    `insert into postcommit.inbox (consumer, event_id) select '${here.durable}', i::text from generate_series(1, 15000) i`,
  );
  await query(here.database.url, 'analyze postcommit.inbox');
  const consumer = await consumeBatches({ ...here.options, db: drizzle(here.pool) }, () => undefined);
  onTestFinished(() => consumer.stop());
  await until('inboxRows').toBeGreaterThan(12_000);
  expect(await read('inboxRows')).toBeLessThan(18_000);
});
