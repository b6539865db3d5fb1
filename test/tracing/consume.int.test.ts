import { headers as createHeaders } from '@nats-io/transport-node';
import { context, SpanStatusCode, trace } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Reject } from '../../src/consumer/index.ts';
import { brokenProcessor, MALFORMED, REMOTE, type Recorder, startRecorder, summaryOf } from './recorder.ts';
import { openScene, type Scene } from './scene.ts';

let recorder: Recorder;
beforeEach(() => {
  recorder = startRecorder();
});
afterEach(() => recorder.stop());

/** A message as another publisher writes it. Returns its sequence. */
async function publish(
  { jsm, subject }: Scene,
  { id, ...headers }: { id?: string } & Record<string, string | undefined> = {},
): Promise<number> {
  const own = createHeaders();
  for (const [name, value] of Object.entries({ 'Nats-Msg-Id': id, ...headers }))
    if (value !== undefined) own.set(name, value);
  return (await jsm.jetstream().publish(subject, '{"secret": "payload"}', { headers: own })).seq;
}

const attributesOf = (scene: Scene) => ({
  'messaging.system': 'nats',
  'messaging.operation.name': 'process',
  'messaging.operation.type': 'process',
  'messaging.destination.name': scene.stream,
  'messaging.destination.subscription.name': 'billing',
});

test('a handler runs with a span active, below the span that made the message and linked to it', async () => {
  const scene = await openScene();
  await publish(scene, { id: 'one', traceparent: REMOTE.traceparent, tracestate: 'vendor=1' });
  // What happens to be active where the consumer is started is no parent of what it does for years.
  await recorder.within('main', () =>
    scene.consume(async () => {
      await recorder.within('inner', async () => undefined);
    }),
  );
  const [span] = await recorder.ended('process', 1);
  const [inner] = recorder.spans('inner');
  expect(span && summaryOf(span)).toEqual({
    name: `process ${scene.stream}`,
    kind: 'CONSUMER',
    attributes: {
      ...attributesOf(scene),
      'messaging.message.id': 'one',
      'messaging.nats.subject': scene.subject,
      'messaging.nats.sequence': 1,
      'messaging.nats.delivery_count': 1,
    },
    parent: REMOTE.spanId,
    links: [REMOTE.spanId],
    status: { code: SpanStatusCode.UNSET },
  });
  expect(span?.spanContext().traceId).toBe(REMOTE.traceId);
  expect(span?.spanContext().traceState?.get('vendor')).toBe('1');
  expect(inner?.parentSpanContext?.spanId).toBe(span?.spanContext().spanId);
});

test('a message without a context, or with a malformed one, begins a trace of its own', async () => {
  const scene = await openScene();
  await publish(scene);
  // What NATS cannot carry cannot come.
  const arriving = MALFORMED.filter((value) => value !== '');
  for (const traceparent of arriving) await publish(scene, { traceparent });
  const twice = createHeaders();
  twice.append('traceparent', REMOTE.traceparent);
  twice.append('traceparent', REMOTE.unsampled);
  await scene.jsm.jetstream().publish(scene.subject, '', { headers: twice });
  let handled = 0;
  await recorder.within('main', () => scene.consume(() => void handled++));
  const spans = await recorder.ended('process', arriving.length + 2);
  expect(handled).toBe(arriving.length + 2);
  for (const span of spans) expect(summaryOf(span)).toMatchObject({ parent: undefined, links: [] });
  expect(new Set(spans.map((span) => span.spanContext().traceId)).size).toBe(spans.length);
});

test('a trace that is not sampled stays so, and is handed on', async () => {
  const scene = await openScene();
  await publish(scene, { traceparent: REMOTE.unsampled });
  await scene.consume((_, { enqueue }) => enqueue({ subject: `${scene.subject}.next`, payload: {} }).then());
  const headers = () => scene.pool.query('SELECT headers FROM postcommit.outbox');
  await expect.poll(async () => (await headers()).rows).toHaveLength(1);
  const [row] = (await headers()).rows;
  expect(row.headers.traceparent).toMatch(
    new RegExp(`^00-${REMOTE.traceId}-(?!${REMOTE.spanId})\\w{16}-00$`),
  );
  expect(recorder.spans()).toEqual([]);
});

test('each attempt of a failing handler is a span, with the exception and nothing of the payload', async () => {
  const scene = await openScene();
  await publish(scene, { traceparent: REMOTE.traceparent });
  let attempts = 0;
  await scene.consume(() => {
    attempts += 1;
    if (attempts < 3) throw new TypeError('cannot reach postgres://app:hunter2@db/shop');
  });
  const [first, second, third] = await recorder.ended('process', 3);
  for (const span of [first, second]) {
    expect(span?.status).toEqual({
      code: SpanStatusCode.ERROR,
      message: 'cannot reach postgres://***@db/shop',
    });
    expect(span?.attributes['error.type']).toBe('TypeError');
    expect(span?.events).toMatchObject([
      {
        name: 'exception',
        attributes: {
          'exception.type': 'TypeError',
          'exception.message': 'cannot reach postgres://***@db/shop',
          'exception.stacktrace': expect.stringContaining('consume.int.test.ts'),
        },
      },
    ]);
  }
  expect(third?.status.code).toBe(SpanStatusCode.UNSET);
  expect([first, second, third].map((span) => span?.attributes['messaging.nats.delivery_count'])).toEqual([
    1, 2, 3,
  ]);
  for (const span of recorder.spans('process')) expect(span.spanContext().traceId).toBe(REMOTE.traceId);
  expect(secretsIn(recorder.spans())).toEqual([]);
});

test.each([
  ['a Reject', () => new Reject('no such patient'), { type: 'Reject', message: 'no such patient' }],
  ['something that is no error', () => 'text', { type: 'string', message: 'text' }],
  ['undefined', () => undefined, { type: 'undefined', message: 'undefined' }],
])('%s fails the span', async (_, thrown, { type, message }) => {
  const scene = await openScene();
  await publish(scene);
  await scene.consume(
    () => {
      throw thrown();
    },
    { maxAttempts: 1 },
  );
  const [span] = await recorder.ended('process', 1);
  expect(span?.status).toEqual({ code: SpanStatusCode.ERROR, message });
  expect(span?.attributes['error.type']).toBe(type);
});

test('what PostgreSQL refuses fails the span with its SQLSTATE, at the commit too', async () => {
  const scene = await openScene();
  await scene.pool.query('CREATE TABLE once (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
  await publish(scene);
  await scene.consume(
    async (_event, { tx }) => {
      await tx.query('INSERT INTO once VALUES (1), (1)');
    },
    { maxAttempts: 1 },
  );
  const [span] = await recorder.ended('process', 1);
  expect(span?.attributes['error.type']).toBe('23505');
  expect(span?.status.message).toContain('once_id_key');
});

test('a duplicate reaches no handler, and is no span', async () => {
  const scene = await openScene();
  const header = { 'Postcommit-Event-Id': 'same', traceparent: REMOTE.traceparent };
  for (let i = 0; i < 3; i++) await publish(scene, header);
  await scene.consume(() => undefined);
  await expect
    .poll(async () => (await scene.jsm.consumers.info(scene.stream, 'billing')).ack_floor.stream_seq)
    .toBe(3);
  expect(recorder.spans('process')).toHaveLength(1);
});

test('several events of one transaction are a span each, and none is a success if one fails', async () => {
  const scene = await openScene();
  for (let i = 0; i < 100; i++) await publish(scene, { traceparent: REMOTE.traceparent });
  let before = 0;
  const rolledBack: number[] = [];
  await scene.consume(
    async ({ sequence }, { tx }) => {
      const { rows } = await tx.query('SELECT pg_current_xact_id()::text::int AS id');
      const isSecond = before === rows[0].id;
      before = rows[0].id;
      if (!isSecond || rolledBack.length > 0) return;
      rolledBack.push(sequence - 1, sequence);
      throw new Error('the second, at first');
    },
    { batchSize: 3 },
  );
  const spans = await recorder.ended('process', 102);
  const failed = spans.filter(({ status }) => status.code === SpanStatusCode.ERROR);
  expect(failed.map(sequenceOf)).toEqual(rolledBack);
  for (const { status } of failed) expect(status.message).toBe('the second, at first');
  expect(spans.filter((span) => !failed.includes(span)).map(sequenceOf)).toEqual(
    Array.from({ length: 100 }, (_, i) => i + 1),
  );
  for (const span of spans) expect(span.parentSpanContext?.spanId).toBe(REMOTE.spanId);
});

const sequenceOf = ({ attributes }: { attributes?: ReadableSpan['attributes'] }) =>
  attributes?.['messaging.nats.sequence'];
const sizeOf = ({ attributes }: ReadableSpan) => Number(attributes['messaging.batch.message_count']);

test('a batch is one span, linked to the context of each of its messages that has one', async () => {
  const scene = await openScene();
  for (let i = 1; i <= 100; i++) await publish(scene, i % 2 ? { traceparent: REMOTE.traceparent } : {});
  const active: unknown[] = [];
  const sizes: number[] = [];
  await scene.consumeBatches((events) => {
    active.push(trace.getSpanContext(context.active())?.spanId);
    sizes.push(events.length);
  });
  const all = () => recorder.spans('process').reduce((sum, span) => sum + sizeOf(span), 0);
  await expect.poll(all).toBe(100);
  const spans = recorder.spans('process');
  expect(Math.max(...sizes)).toBeGreaterThan(1);
  expect(spans.map(sizeOf)).toEqual(sizes);
  expect(spans.map((span) => span.spanContext().spanId)).toEqual(active);
  for (const span of spans) {
    expect(summaryOf(span)).toMatchObject({
      name: `process ${scene.stream}`,
      kind: 'CONSUMER',
      attributes: attributesOf(scene),
      parent: undefined,
      status: { code: SpanStatusCode.UNSET },
    });
    expect(Object.keys(span.attributes)).toHaveLength(Object.keys(attributesOf(scene)).length + 1);
  }
  const links = spans.flatMap((span) => span.links);
  expect(links.map(sequenceOf)).toEqual(Array.from({ length: 50 }, (_, i) => 2 * i + 1));
  for (const link of links) expect(link.context.spanId).toBe(REMOTE.spanId);
});

test('a batch that fails is a span that failed, and each of its events alone is another one', async () => {
  const scene = await openScene();
  for (let i = 0; i < 100; i++) await publish(scene, { traceparent: REMOTE.traceparent });
  await scene.consumeBatches((events) => {
    if (events.length > 1) throw new Error('together they fail');
  });
  const alone = () => recorder.spans('process').filter((span) => sizeOf(span) === 1);
  await expect.poll(alone).toHaveLength(100);
  const together = recorder.spans('process').filter((span) => sizeOf(span) > 1);
  expect(together.length).toBeGreaterThan(0);
  for (const { status } of together)
    expect(status).toEqual({ code: SpanStatusCode.ERROR, message: 'together they fail' });
  for (const { status } of alone()) expect(status.code).toBe(SpanStatusCode.UNSET);
});

test('a dead letter that is tried again goes on in the trace of its message', async () => {
  const scene = await openScene();
  await publish(scene, { traceparent: REMOTE.traceparent });
  let broken = true;
  await scene.consume(
    () => {
      if (broken) throw new Error('no');
    },
    { maxAttempts: 1 },
  );
  const letters = () => scene.pool.query("SELECT id FROM postcommit.dead_letters WHERE state = 'parked'");
  await expect.poll(async () => (await letters()).rows).toHaveLength(1);
  broken = false;
  await scene.pool.query("UPDATE postcommit.dead_letters SET state = 'retrying'");
  const [, again] = await recorder.ended('process', 2);
  expect(again && summaryOf(again)).toMatchObject({
    parent: REMOTE.spanId,
    links: [REMOTE.spanId],
    status: { code: SpanStatusCode.UNSET },
  });
});

test.each(['onStart', 'onEnd'] as const)(
  'a span processor that throws %s keeps no handler from its event',
  async (at) => {
    recorder.stop();
    const processor = brokenProcessor(at);
    recorder = startRecorder({ processor });
    const scene = await openScene();
    await publish(scene, { traceparent: REMOTE.traceparent });
    await publish(scene);
    let handled = 0;
    await scene.consume(() => void handled++);
    await expect
      .poll(async () => (await scene.jsm.consumers.info(scene.stream, 'billing')).ack_floor.stream_seq)
      .toBe(2);
    expect(handled).toBe(2);
    expect(processor.failures).toBe(2);
  },
);

function secretsIn(spans: readonly ReadableSpan[]): string[] {
  const text = JSON.stringify(
    spans.map(({ attributes, events, status, links }) => [attributes, events, status, links]),
  );
  return ['hunter2', 'payload', '"secret"'].filter((secret) => text.includes(secret));
}
