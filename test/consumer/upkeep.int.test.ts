import { expect, onTestFinished, test } from 'vitest';
import { createTransact } from '../../src/consumer/database.ts';
import { consume } from '../../src/consumer/index.ts';
import { resolveOptions } from '../../src/consumer/options.ts';
import { createTroubleLog } from '../../src/consumer/trouble.ts';
import { prunePast } from '../../src/consumer/upkeep.ts';
import { borrowLink } from '../../src/jetstream/index.ts';
import { silentLogger } from '../../src/telemetry/logger.ts';
import { createScene, effect } from './scene.ts';

test('the inbox forgets what the stream has lost; what is delivered again has no second effect', async () => {
  const here = await createScene();
  onTestFinished(() => here[Symbol.asyncDispose]());
  for (let i = 0; i < 2_500; i++) here.connection.publish(`${here.stream}.event`, String(i));
  const consumer = await consume({ ...here.options, batchSize: 100 }, effect);
  await expect.poll(async () => (await here.effects()).length, { timeout: 20_000 }).toBe(2_500);
  await here.untilSettled();
  await here.jsm.streams.purge(here.stream, { keep: 100 });
  const broker = await borrowLink(here.nats, silentLogger());
  onTestFinished(() => broker.release());
  const settings = resolveOptions({ ...here.options, inboxRetentionMs: 0 });
  const upkeep = {
    link: broker.link,
    transact: createTransact(here.pool),
    trouble: createTroubleLog(silentLogger(), here.durable),
    signal: new AbortController().signal,
  };
  await prunePast({ ...upkeep, settings: resolveOptions(here.options) });
  expect(await here.inboxIds()).toHaveLength(2_500);
  await prunePast({ ...upkeep, settings });
  expect(await here.inboxIds()).toHaveLength(100);
  // Everything that is left in the stream, once more.
  await consumer.stop();
  await here.jsm.consumers.delete(here.stream, here.durable);
  const again = await consume(here.options, effect);
  onTestFinished(() => again.stop());
  await expect.poll(() => here.counted('duplicate'), { timeout: 20_000 }).toBe(100);
  expect(await here.effects()).toHaveLength(2_500);
});
