import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { pgTable, text } from 'drizzle-orm/pg-core';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { consume } from '../../src/consumer/index.ts';
import { outbox } from '../../src/schema.ts';
import { startPostgres } from '../support/services.ts';
import { createScene, type Scene, type SceneOptions, signal } from './scene.ts';

const effects = pgTable('effects', { eventId: text('event_id') });

async function scene(options?: SceneOptions): Promise<Scene> {
  const created = await createScene(options);
  onTestFinished(() => created[Symbol.asyncDispose]());
  return created;
}

test('a Drizzle database gives handlers its transaction: effect, follow-up and inbox row are one', async () => {
  const here = await scene();
  const db = drizzle(here.pool);
  await here.publish('drizzle');
  const consumer = await consume(
    { ...here.options, db, backoff: { firstMs: 10 } },
    async (event, { tx, enqueue }) => {
      await tx.insert(effects).values({ eventId: event.id });
      await enqueue({ subject: 'events.next', payload: event.deliveryCount });
      if (event.deliveryCount === 1) throw new Error('not yet');
      if (event.deliveryCount === 2) tx.rollback();
      // Swallowed: the transaction can only roll back, and must not be acknowledged.
      if (event.deliveryCount === 3) await tx.execute(sql`SELECT 1/0`).catch(() => undefined);
    },
  );
  onTestFinished(() => consumer.stop());
  await here.untilSettled();
  expect(await here.effects()).toEqual([`${here.stream}:1`]);
  expect(await here.inboxIds()).toEqual([`${here.stream}:1`]);
  const followUps = await db.select().from(outbox);
  expect(followUps.map(({ payload }) => Buffer.from(payload).toString())).toEqual(['4']);
  expect(await here.counted('failed')).toBe(3);
});

test('an outage in the midst of a Drizzle handler neither ends the process nor uses up a delivery', async () => {
  const postgres = await startPostgres();
  onTestFinished(() => postgres[Symbol.asyncDispose]());
  const here = await scene({ databaseUrl: postgres.url });
  const pool = new pg.Pool({ connectionString: postgres.url });
  onTestFinished(() => pool.end());
  const entered = signal();
  const leave = signal();
  const deliveries: number[] = [];
  const consumer = await consume({ ...here.options, db: drizzle(pool) }, async (event, { tx }) => {
    deliveries.push(event.deliveryCount);
    entered.fire();
    await leave.fired;
    await tx.insert(effects).values({ eventId: event.id });
  });
  onTestFinished(() => consumer.stop());
  await here.publish('outage');
  await entered.fired;
  await postgres.restart('immediate');
  leave.fire();
  await here.untilSettled();
  expect(await here.effects()).toHaveLength(1);
  expect(deliveries).toEqual([1, 1]);
  expect(await here.counted('failed')).toBe(0);
});

test('a Drizzle database on a single client is refused: the transactions of others would end the handler', async () => {
  const here = await scene();
  const client = new pg.Client({ connectionString: here.database.url });
  await client.connect();
  onTestFinished(() => client.end());
  await expect(consume({ ...here.options, db: drizzle(client) }, () => undefined)).rejects.toMatchObject({
    code: 'config-invalid',
    hint: expect.stringContaining('pg.Pool'),
  });
});
