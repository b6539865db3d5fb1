import { SpanStatusCode } from '@opentelemetry/api';
import { AlwaysOnSampler, type ReadableSpan, SamplingDecision } from '@opentelemetry/sdk-trace';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { Ordering } from '../../src/batch-log/batch.ts';
import { startTcpProxy } from '../../src/testing/index.ts';
import {
  brokenProcessor,
  MALFORMED,
  outside,
  REMOTE,
  type Recorder,
  startRecorder,
  summaryOf,
  traceparentOf,
} from './recorder.ts';
import { openScene, type Scene } from './scene.ts';

let recorder: Recorder;
beforeEach(() => {
  recorder = startRecorder();
});
afterEach(() => recorder.stop());

async function startRelay(scene: Scene, ordering: Ordering = 'stream', natsUrl = scene.natsUrl) {
  const relay = await scene.startRelay({ lane: { ordering }, nats: () => ({ servers: [natsUrl] }) });
  onTestFinished(() => relay[Symbol.asyncDispose]());
  await relay.until('publishing');
  return relay;
}

const failuresOf = (spans: readonly ReadableSpan[]) =>
  spans.map(({ attributes }) => attributes['error.type'] ?? 'stored');

describe.each<Ordering>(['stream', 'key', 'none'])('in %s ordering', (ordering) => {
  test('an event with a context has a send span below the span of its writer, and linked to it', async () => {
    const scene = await openScene();
    await startRelay(scene, ordering);
    const { ids, writer } = await recorder.within('register', async (span) => ({
      ids: await scene.enqueue({ key: 'a' }, { key: 'b', headers: { a: 'b' } }),
      writer: span.spanContext(),
    }));
    const spans = await recorder.ended('send', 2);
    expect(spans.map(summaryOf)).toEqual(
      ids.map((id, i) => ({
        name: `send ${scene.stream}`,
        kind: 'PRODUCER',
        attributes: {
          'messaging.system': 'nats',
          'messaging.operation.name': 'send',
          'messaging.operation.type': 'send',
          'messaging.destination.name': scene.stream,
          'messaging.message.id': id,
          'messaging.nats.subject': scene.subject,
          'messaging.nats.sequence': i + 1,
        },
        parent: writer.spanId,
        links: [writer.spanId],
        status: { code: SpanStatusCode.UNSET },
      })),
    );
    for (const span of spans) {
      expect(span.spanContext().traceId).toBe(writer.traceId);
      expect(span.ended).toBe(true);
    }
    // The message keeps the context of its creation.
    const traceparent = traceparentOf(writer);
    expect(await scene.headersAt(1)).toEqual({ traceparent });
    expect(await scene.headersAt(2)).toEqual({ a: 'b', traceparent });
  });

  test('without a context, or with one that is not sampled or no context at all, there is no span', async () => {
    recorder.stop();
    recorder = startRecorder({ sampler: new AlwaysOnSampler() });
    const scene = await openScene();
    await startRelay(scene, ordering);
    const headers = [
      {},
      { a: 'b' },
      { traceparent: REMOTE.unsampled },
      { traceparent: `${REMOTE.unsampled.slice(0, -1)}2` },
    ];
    const given = [...headers, ...MALFORMED.map((traceparent) => ({ traceparent }))];
    await scene.enqueue(...given.map((one, i) => ({ key: `${i}`, headers: one })));
    await scene.enqueue({ headers: { traceparent: REMOTE.traceparent } });
    await recorder.ended('send', 1);
    await scene.untilDrained();
    expect(recorder.spans()).toHaveLength(1);
    for (const [i, one] of given.entries()) expect(await scene.headersAt(i + 1)).toEqual(one);
    expect(await scene.faults()).toEqual([]);
  });

  test('what a full stream refuses is a span with the outcome, and another one when it is sent again', async () => {
    const scene = await openScene({ config: { max_msgs: 1, discard: 'new' as never } });
    const relay = await startRelay(scene, ordering);
    await recorder.within('register', () => scene.enqueue({ key: 'a' }, { key: 'a' }));
    await relay.until('paused');
    const refused = (await recorder.ended('send', 2)).find(
      ({ status }) => status.code === SpanStatusCode.ERROR,
    );
    expect(refused?.attributes['error.type']).toBe('saturated');
    expect(refused?.status.message).toContain('maximum messages');
    await scene.jsm.streams.update(scene.stream, { max_msgs: 10 });
    await scene.untilDrained();
    await expect
      .poll(() => failuresOf(recorder.spans('send')).filter((kind) => kind === 'stored'))
      .toHaveLength(2);
    expect(new Set(recorder.spans('send').map((span) => span.spanContext().traceId)).size).toBe(1);
    expect(await scene.faults()).toEqual([]);
  });

  test('what a lost connection leaves unanswered ends as ambiguous; nothing is left open', async () => {
    const scene = await openScene();
    await using proxy = await startTcpProxy({ port: Number(new URL(scene.natsUrl).port) });
    const relay = await startRelay(scene, ordering, proxy.through(scene.natsUrl));
    proxy.blackHole({ direction: 'down' });
    await recorder.within('register', () => scene.enqueue({ key: 'a' }, { key: 'b' }, { key: 'c' }));
    await expect.poll(() => relay.relay.status().lanes[0]?.pending).toBe(3);
    proxy.cut();
    proxy.heal();
    await scene.untilDrained();
    const spans = await recorder.ended('send', 3);
    const failures = spans.slice(0, 3);
    expect(failuresOf(failures)).toEqual(['ambiguous', 'ambiguous', 'ambiguous']);
    for (const { status } of failures) expect(status.code).toBe(SpanStatusCode.ERROR);
    expect(await scene.faults()).toEqual([]);
  });
});

test('the header may be written by SQL, and in the case that Go gives it', async () => {
  const scene = await openScene();
  await startRelay(scene);
  await scene.pool.query(
    `SELECT postcommit.enqueue($1, '{}', headers => jsonb_build_object('Traceparent', $2::text))`,
    [scene.subject, REMOTE.traceparent],
  );
  const [span] = await recorder.ended('send', 1);
  expect(span && summaryOf(span)).toMatchObject({ parent: REMOTE.spanId, links: [REMOTE.spanId] });
  expect(await scene.headersAt(1)).toEqual({ Traceparent: REMOTE.traceparent });
});

test('an event that the stream can never store has a span that says so, and its marker has none', async () => {
  const scene = await openScene();
  await startRelay(scene);
  await scene.jsm.streams.update(scene.stream, { max_msg_size: 10_000 }); // The relay does not know yet.
  await recorder.within('register', () => scene.enqueue({ payload: 'x'.repeat(20_000) }, {}));
  await scene.untilDrained();
  const [refused, behind, again, ...more] = await recorder.ended('send', 3);
  expect(failuresOf([refused, behind, again].flatMap((span) => span ?? []))).toEqual([
    'refused',
    'ambiguous',
    'stored',
  ]);
  expect(refused?.status.message).toContain('message size exceeds maximum allowed');
  expect(again?.attributes['messaging.message.id']).toBe(behind?.attributes['messaging.message.id']);
  expect(more).toEqual([]);
});

test.each<Ordering>(['stream', 'key'])(
  'in %s ordering a provider that is registered late is found, and one that is gone not used',
  async (ordering) => {
    recorder.stop();
    const scene = await openScene();
    await startRelay(scene, ordering);
    const headers = { traceparent: REMOTE.traceparent };
    await scene.enqueue({ headers });
    await scene.untilDrained();
    recorder = startRecorder();
    await scene.enqueue({ headers });
    await recorder.ended('send', 1);
    recorder.stop();
    await scene.enqueue({ headers });
    await scene.untilDrained();
    expect(recorder.spans()).toHaveLength(1);
  },
);

test('a sampler that drops or throws costs spans and nothing else', async () => {
  recorder.stop();
  const scene = await openScene();
  await startRelay(scene);
  const headers = { traceparent: REMOTE.traceparent };
  let asked = 0;
  recorder = startRecorder({
    sampler: {
      shouldSample() {
        asked += 1;
        if (asked === 2) throw new Error('no');
        return { decision: SamplingDecision.NOT_RECORD };
      },
    },
  });
  await scene.enqueue({ headers }, { headers }, { headers });
  await scene.untilDrained();
  expect(asked).toBe(3);
  expect(recorder.spans()).toEqual([]);
  expect(await scene.faults()).toEqual([]);
});

test.each(['onStart', 'onEnd'] as const)('nor does a span processor that throws %s', async (at) => {
  recorder.stop();
  const scene = await openScene();
  await startRelay(scene);
  const processor = brokenProcessor(at);
  recorder = startRecorder({ processor });
  const headers = { traceparent: REMOTE.traceparent };
  await scene.enqueue({ headers }, { headers }, { headers });
  await scene.untilDrained();
  await expect.poll(() => processor.failures).toBe(3);
  expect(await scene.faults()).toEqual([]);
});

test('what runs in the same process is no parent of a send', async () => {
  const scene = await openScene();
  await recorder.within('main', () => startRelay(scene));
  await outside(() => scene.enqueue({}));
  await outside(() => scene.enqueue({ headers: { traceparent: REMOTE.traceparent } }));
  const [span] = await recorder.ended('send', 1);
  expect(span?.parentSpanContext?.spanId).toBe(REMOTE.spanId);
  expect(recorder.spans('send')).toHaveLength(1);
});
