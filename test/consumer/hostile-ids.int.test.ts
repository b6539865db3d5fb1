import { drizzle } from 'drizzle-orm/node-postgres';
import { describe, expect, onTestFinished, test } from 'vitest';
import { consume } from '../../src/consumer/index.ts';
import { createScene, effect } from './scene.ts';

/** Message ids are a stranger's to choose, and they become part of a statement's text. */
const IDS = [
  "'); DROP TABLE effects; --",
  "it''s \\' E'x'",
  'back\\slash and $1, $2, $$',
  '"json": {"a": 1}',
  'schlüssel: ß 漢 🙂',
  '?::text %s :name',
];

describe.each(['pg', 'drizzle'] as const)('%s', (driver) => {
  test.each(['none', 'key'] as const)('any id is recorded as it is, order %s', async (order) => {
    for (const batchSize of [1, 10]) {
      const here = await createScene();
      onTestFinished(() => here[Symbol.asyncDispose]());
      for (const id of IDS) await here.publish('event', { 'Nats-Msg-Id': id });
      for (const id of IDS)
        await here.publish('again', { 'Nats-Msg-Id': `${id}x`, 'Postcommit-Event-Id': id });
      const db = driver === 'pg' ? here.pool : (drizzle(here.pool) as unknown as typeof here.pool);
      const consumer = await consume({ ...here.options, db, order, batchSize }, (event) =>
        here.pool.connect().then(async (client) => {
          await effect(event, { tx: client } as never);
          client.release();
        }),
      );
      onTestFinished(() => consumer.stop());
      await here.untilSettled();
      expect((await here.effects()).toSorted()).toEqual(IDS.toSorted());
      expect((await here.inboxIds()).toSorted()).toEqual(IDS.toSorted());
    }
  });
});
