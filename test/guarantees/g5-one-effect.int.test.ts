import { afterAll, beforeAll, expect, test } from 'vitest';
import { consume } from '../../src/consumer/index.ts';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { startNats } from '../support/services.ts';
import { openStage } from './stage.ts';

const EVENTS = 600;

let nats: EmbeddedNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats?.[Symbol.asyncDispose]());

/** The death of a consumer's process is test/consumer/kill.int.test.ts's. */
test('G5: handlers that fail, consumers cut short, two at a time, NATS crashing: one effect for each event', async () => {
  const random = seededRandom(5);
  await using stage = await openStage({ natsUrl: nats.url });
  await stage.pool.query('create table effects (event_id text not null)');
  await using _relay = await stage.startRelay();
  const metrics = createMetrics();
  const failures = { left: 40 };
  const options = { nats: nats.url, stream: stage.stream, durable: 'effects', db: stage.pool, metrics };
  const settings = { ...options, ackWaitMs: 500, backoff: { firstMs: 1, maxMs: 20 } };
  const start = () =>
    consume(settings, async (event, { tx }) => {
      await tx.query('insert into effects values ($1)', [event.id]);
      if (failures.left > 0 && random() < 0.2) {
        failures.left--;
        throw new Error('the handler fails after its write');
      }
    });
  const effects = async (): Promise<number> =>
    (await stage.pool.query('select count(*)::int as n from effects')).rows[0].n;

  let crashed = false;
  let consumers = [await start(), await start()];
  for (let written = 0; written < EVENTS; written += 100) {
    await stage.write(100);
    await expect.poll(effects, { timeout: 15_000, interval: 2 }).toBeGreaterThan(written + 20);
    // With messages in hand: some are handed back, some were committed and are not acknowledged.
    const stopping = consumers.map((consumer) => consumer.stop({ graceMs: 0 }));
    if (!crashed && written >= EVENTS / 2) {
      crashed = true;
      nats.kill('SIGKILL');
      await nats.start();
    }
    await Promise.all(stopping);
    consumers = [await start(), await start()];
  }
  const unsettled = async () => {
    const { num_pending, num_ack_pending } = await stage.jsm.consumers.info(stage.stream, 'effects');
    return num_pending + num_ack_pending;
  };
  await expect.poll(unsettled, { timeout: 20_000 }).toBe(0);
  for (const consumer of consumers) await consumer.stop();

  const { rows } = await stage.pool.query(
    `select count(*)::int as events, count(distinct e.event_id)::int as once,
            count(*) filter (where i.event_id is null)::int as unrecorded
       from effects e left join postcommit.inbox i on i.consumer = 'effects' and i.event_id = e.event_id`,
  );
  expect(rows).toEqual([{ events: EVENTS, once: EVENTS, unrecorded: 0 }]);
  expect(failures.left, 'no handler failed').toBeLessThan(40);
  expect(await stage.faults()).toEqual([]);
});
