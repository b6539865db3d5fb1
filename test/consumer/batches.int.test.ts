import type pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { type BatchHandler, type ConsumeOptions, consumeBatches } from '../../src/consumer/index.ts';
import { createScene, type Scene } from './scene.ts';

async function scene(): Promise<Scene> {
  const created = await createScene();
  onTestFinished(() => created[Symbol.asyncDispose]());
  return created;
}

async function start(
  { options }: Scene,
  handler: BatchHandler<pg.PoolClient>,
  more: Partial<ConsumeOptions<pg.Pool>> = {},
) {
  const consumer = await consumeBatches(
    { ...options, backoff: { firstMs: 5, maxMs: 20 }, maxAttempts: 3, ...more },
    handler,
  );
  onTestFinished(() => consumer.stop());
  return consumer;
}

const INSERT = 'INSERT INTO effects (event_id) SELECT unnest($1::text[])';

test('many events share a transaction, in order, and are acknowledged together', async () => {
  const here = await scene();
  for (let i = 0; i < 300; i++) await here.publish(i);
  const sizes: number[] = [];
  await start(here, async (events, { tx }) => {
    sizes.push(events.length);
    await tx.query(INSERT, [events.map(({ id }) => id)]);
  });
  await here.untilSettled();
  expect(await here.effects()).toEqual(Array.from({ length: 300 }, (_, i) => `${here.stream}:${i + 1}`));
  expect(Math.max(...sizes)).toBeGreaterThan(10);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(100);
  const { rows } = await here.pool.query('select count(distinct xmin::text)::int as n from postcommit.inbox');
  expect(rows[0].n).toBe(sizes.length);
});

test('one that fails is isolated: the others have their effect, once, and it ends as a dead letter', async () => {
  const here = await scene();
  for (let i = 0; i < 60; i++) await here.publish(i, { 'Postcommit-Key': `key-${i % 6}` });
  let spoiled = 0;
  await start(
    here,
    async (events, { tx }) => {
      if (events.length > 1 && events.some((event) => event.json() === 25)) spoiled++;
      await tx.query(INSERT, [events.map(({ id }) => id)]);
      if (events.some((event) => event.json() === 25)) throw new Error('25 is poison');
    },
    { batchSize: 30 },
  );
  await here.untilSettled();
  const effects = await here.effects();
  expect(effects).toHaveLength(59);
  expect(new Set(effects).size).toBe(59);
  expect(effects).not.toContain(`${here.stream}:26`);
  const { rows } = await here.pool.query('select sequence::int, attempts from postcommit.dead_letters');
  expect(rows).toEqual([{ sequence: 26, attempts: 3 }]);
  // Known to fail, it is tried by itself.
  expect(spoiled).toBe(1);
  // Those of its key came behind it, in their order.
  const key = effects.filter((id) => (Number(id.split(':')[1]) - 1) % 6 === 1);
  expect(key).toEqual([2, 8, 14, 20, 32, 38, 44, 50, 56].map((sequence) => `${here.stream}:${sequence}`));
});

test('an event id that comes twice in one batch has one effect', async () => {
  const here = await scene();
  for (let i = 0; i < 20; i++) await here.publish(i, { 'Postcommit-Event-Id': `e${i % 10}` });
  await start(here, async (events, { tx }) => {
    await tx.query(INSERT, [events.map(({ id }) => id)]);
  });
  await here.untilSettled();
  expect(await here.effects()).toEqual(Array.from({ length: 10 }, (_, i) => `e${i}`));
  expect(await here.counted('duplicate')).toBe(10);
});
