import {
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  trace,
} from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  InMemorySpanExporter,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
  type SpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { expect } from 'vitest';

/** What an application sets up, with the spans of this process in memory. */
export interface Recorder {
  /** Those that have ended, of `send`, `process` or any other operation: the first word of their name. */
  spans(operation?: string): ReadableSpan[];
  /** Resolves when so many of an operation have ended. */
  ended(operation: string, count: number): Promise<ReadableSpan[]>;
  /** Runs with a span of the application's own active. */
  within<Result>(name: string, work: (span: Span) => Promise<Result>): Promise<Result>;
  forget(): void;
  stop(): void;
}

export interface RecorderOptions {
  readonly sampler?: Sampler;
  /** Sees spans before they are recorded. */
  readonly processor?: SpanProcessor;
}

export function startRecorder({ sampler, processor }: RecorderOptions = {}): Recorder {
  const exporter = new InMemorySpanExporter();
  const recording = new SimpleSpanProcessor({ exporter });
  const spanProcessors = processor === undefined ? [recording] : [processor, recording];
  const provider = new TracerProvider({ spanProcessors, ...(sampler && { sampler }) });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  const spans = (operation = '') =>
    exporter.getFinishedSpans().filter(({ name }) => operation === '' || name.split(' ')[0] === operation);
  return {
    spans,
    async ended(operation, count) {
      await expect
        .poll(() => spans(operation).length, { timeout: 20_000, interval: 10 })
        .toBeGreaterThanOrEqual(count);
      return spans(operation);
    },
    within: (name, work) =>
      trace.getTracer('application').startActiveSpan(name, async (span) => {
        try {
          return await work(span);
        } finally {
          span.end();
        }
      }),
    forget: () => exporter.reset(),
    stop() {
      for (const api of [trace, context, propagation]) api.disable();
    },
  };
}

/** What tests compare of a span. */
export function summaryOf(span: ReadableSpan) {
  const { name, kind, attributes, links, parentSpanContext, status } = span;
  return {
    name,
    kind: SpanKind[kind],
    attributes,
    parent: parentSpanContext?.spanId,
    links: links.map((link) => link.context.spanId),
    status,
  };
}

export function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-0${traceFlags}`;
}

/** A span processor that fails where it is told to. */
export function brokenProcessor(at: 'onStart' | 'onEnd'): SpanProcessor & { readonly failures: number } {
  const processor = {
    failures: 0,
    onStart: () => fail('onStart'),
    onEnd: () => fail('onEnd'),
    forceFlush: async () => undefined,
    shutdown: async () => undefined,
  };
  const fail = (where: string) => {
    if (where !== at) return;
    processor.failures += 1;
    throw new Error('no');
  };
  return processor;
}

/** A context of elsewhere: another language wrote it. */
export const REMOTE = {
  traceId: '0af7651916cd43dd8448eb211c80319c',
  spanId: 'b7ad6b7169203331',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  unsampled: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
};

export const MALFORMED = [
  '',
  'garbage',
  '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331',
  '00-00000000000000000000000000000000-b7ad6b7169203331-01',
  '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01',
  'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  '00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01',
  `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01${'-x'.repeat(4_000)}`,
  'ümläut \u{1F600} 00-',
];

/** Runs outside every span, as another request would. */
export function outside<Result>(work: () => Promise<Result>): Promise<Result> {
  return context.with(ROOT_CONTEXT, work);
}
