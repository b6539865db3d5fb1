import { Writable } from 'node:stream';
import { AckPolicy, type ConsumerConfig, DeliverPolicy } from '@nats-io/jetstream';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { type ConsumeOptions, consume } from '../../src/consumer/index.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createScratchDatabase } from '../support/services.ts';
import { createScene, effect, type Scene } from './scene.ts';

async function scene(): Promise<Scene> {
  const created = await createScene();
  onTestFinished(() => created[Symbol.asyncDispose]());
  return created;
}

async function start({ options }: Scene, more: Partial<ConsumeOptions<pg.Pool>> = {}) {
  const consumer = await consume({ ...options, ...more }, effect);
  onTestFinished(() => consumer.stop());
  return consumer;
}

test('a durable that is missing is created: explicit acks, no last delivery, room for what is fetched', async () => {
  const here = await scene();
  const consumer = await start(here, { prefetch: 800, ackWaitMs: 7_000, subjects: [`${here.stream}.a.*`] });
  await consumer.ready;
  expect((await here.jsm.consumers.info(here.stream, here.durable)).config).toMatchObject({
    durable_name: here.durable,
    ack_policy: 'explicit',
    ack_wait: 7_000_000_000,
    max_deliver: -1,
    max_ack_pending: 1_600,
    deliver_policy: 'all',
    filter_subject: `${here.stream}.a.*`,
  });
});

test.each<[string, (here: Scene) => Partial<ConsumerConfig>, RegExp]>([
  ['a push consumer', () => ({ deliver_subject: 'somewhere' }), /push consumer/],
  ['another ack policy', () => ({ ack_policy: AckPolicy.All }), /ack policy is all/],
  ['a last delivery', () => ({ max_deliver: 3 }), /gives up after 3 deliveries/],
  [
    'another filter',
    ({ stream }) => ({ filter_subject: `${stream}.other` }),
    /delivers '.*other'.* asks for everything/,
  ],
])('a durable that cannot serve is refused and left as it is: %s', async (_, more, reason) => {
  const here = await scene();
  const config = { durable_name: here.durable, ack_policy: AckPolicy.Explicit, ...more(here) };
  const before = await here.jsm.consumers.add(here.stream, config);
  const refusal = await start(here).catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code: 'stream-unsuitable', message: expect.stringMatching(reason) });
  expect((await here.jsm.consumers.info(here.stream, here.durable)).config).toEqual(before.config);
});

test('a durable with other limits is used as it is, and the difference logged once', async () => {
  const here = await scene();
  const config = {
    durable_name: here.durable,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.New,
    ack_wait: 5_000_000_000,
    max_ack_pending: 10,
  };
  const before = await here.jsm.consumers.add(here.stream, config);
  const lines: { event: string; differences?: string[] }[] = [];
  const destination = new Writable({
    write(chunk, _, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  const consumer = await start(here, { logger: createLogger({ destination }) });
  await consumer.ready;
  expect(lines.filter(({ event }) => event !== 'consumer-role')).toMatchObject([
    {
      event: 'consumer-durable-differs',
      differences: [
        'its ack wait is 5000 ms, not 30000 ms',
        'it lets 10 messages be under way (max_ack_pending), not 1000',
      ],
    },
  ]);
  expect((await here.jsm.consumers.info(here.stream, here.durable)).config).toEqual(before.config);
  for (let i = 0; i < 40; i++) await here.publish(i);
  await here.untilSettled();
  expect(await here.effects()).toHaveLength(40);
});

test('subjects that the stream does not capture are refused', async () => {
  const here = await scene();
  // Servers before 2.10 take any filter; the others say that it matches nothing.
  const outcome = await start(here, { subjects: ['elsewhere.>'] }).catch((error: unknown) => error);
  if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'stream-unsuitable' });
  else expect(outcome).toHaveProperty('ready');
});

test.each<[string, Partial<ConsumeOptions<pg.Pool>>]>([
  ['a durable with a dot', { durable: 'a.b' }],
  ['a stream with a blank', { stream: 'a b' }],
  ['no prefetch', { prefetch: 0 }],
  ['half a handler', { concurrency: 0.5 }],
  ['a subject with a blank', { subjects: ['a b'] }],
  ['a NATS URL that is none', { nats: 'http://127.0.0.1:4222' }],
  ['a single client', { db: new pg.Client() as unknown as pg.Pool }],
])('options that cannot work are refused: %s', async (_, more) => {
  const here = await scene();
  await expect(start(here, more)).rejects.toMatchObject({ code: 'config-invalid' });
});

test('a start fails within seconds, and says why, where a server or the schema is missing', async () => {
  const here = await scene();
  await expect(start(here, { nats: 'nats://127.0.0.1:1' })).rejects.toMatchObject({
    code: 'broker-unreachable',
  });
  const nowhere = new pg.Pool({ connectionString: 'postgres://postgres@127.0.0.1:1/none' });
  await expect(start(here, { db: nowhere })).rejects.toMatchObject({ code: 'database-unreachable' });
  const bare = await createScratchDatabase();
  const empty = new pg.Pool({ connectionString: bare.url });
  empty.on('error', () => undefined);
  await expect(start(here, { db: empty })).rejects.toMatchObject({ code: 'migration-missing' });
  await empty.end();
  await bare.drop();
});
