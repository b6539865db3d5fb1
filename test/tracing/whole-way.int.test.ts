import { SpanKind } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { type Recorder, startRecorder } from './recorder.ts';
import { openScene } from './scene.ts';

let recorder: Recorder;
beforeEach(() => {
  recorder = startRecorder();
});
afterEach(() => recorder.stop());

test('from the business transaction to the effect of its follow-up event it is one trace', async () => {
  const scene = await openScene();
  const relay = await scene.startRelay();
  onTestFinished(() => relay[Symbol.asyncDispose]());
  await scene.consume(async ({ subject }, { enqueue }) => {
    if (subject === scene.subject) await enqueue({ subject: `${scene.subject}.follow-up`, payload: {} });
  });
  await recorder.within('register patient', () => scene.enqueue({}));
  await recorder.ended('send', 2);
  await recorder.ended('process', 2);
  const spans = recorder.spans();
  expect(new Set(spans.map((span) => span.spanContext().traceId)).size).toBe(1);
  expect(treeOf(spans)).toEqual({
    'INTERNAL register patient': {
      [`PRODUCER send ${scene.stream}`]: {},
      [`CONSUMER process ${scene.stream}`]: {
        [`PRODUCER send ${scene.stream}`]: {},
        [`CONSUMER process ${scene.stream}`]: {},
      },
    },
  });
  for (const span of spans.filter(({ kind }) => kind !== SpanKind.INTERNAL))
    expect(span.links.map((link) => link.context.spanId)).toEqual([span.parentSpanContext?.spanId]);
});

test('a batch begins a trace, and its follow-up events belong to that', async () => {
  const scene = await openScene();
  await recorder.within('register patients', () => scene.enqueue({}, {}));
  const relay = await scene.startRelay();
  onTestFinished(() => relay[Symbol.asyncDispose]());
  await scene.untilDrained();
  await scene.consumeBatches(async (events, { enqueue }) => {
    const firsts = events.filter(({ subject }) => subject === scene.subject);
    await enqueue(firsts.map(() => ({ subject: `${scene.subject}.follow-up`, payload: {} })));
  });
  await recorder.ended('send', 4);
  const [writer] = recorder.spans('register');
  const batches = new Map(recorder.spans('process').map((span) => [span.spanContext().spanId, span]));
  for (const span of recorder.spans('send').slice(2)) {
    const batch = batches.get(span.parentSpanContext?.spanId ?? '');
    expect(span.spanContext().traceId).toBe(batch?.spanContext().traceId);
    expect(span.spanContext().traceId).not.toBe(writer?.spanContext().traceId);
    expect(batch?.links[0]?.context.spanId).toBe(writer?.spanContext().spanId);
  }
});

interface Tree {
  [span: string]: Tree;
}

/** Spans below their parents, by kind and name. */
function treeOf(spans: readonly ReadableSpan[], parent?: string): Tree {
  return Object.fromEntries(
    spans
      .filter(({ parentSpanContext }) => parentSpanContext?.spanId === parent)
      .map((span) => [`${SpanKind[span.kind]} ${span.name}`, treeOf(spans, span.spanContext().spanId)]),
  );
}
