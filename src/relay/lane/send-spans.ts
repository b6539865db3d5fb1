import { type Span, SpanKind, TraceFlags, type Tracer, trace } from '@opentelemetry/api';
import type { StoredEvent } from '../../event.ts';
import type { Failure } from '../../jetstream/index.ts';
import { ATTRIBUTE, SYSTEM } from '../../telemetry/messaging-attributes.ts';
import { contextIn } from '../../telemetry/trace-context.ts';
import { markFailed, quietly, registeredTracer } from '../../telemetry/tracing.ts';

/**
 * A span for each send of an event that came with a sampled context, from the send to its answer. The message keeps the
 * context that it came with: tracing changes no byte of it.
 *
 * Without a tracer provider, or a context, it costs one comparison.
 */
export interface SendSpans {
  /** Looks again for a tracer provider: once for many events. */
  look(): void;
  /** `token` names the send, as it does for the publisher. */
  begin(token: number, event: StoredEvent): void;
  stored(token: number, sequence: number): void;
  failed(token: number, outcome: Failure): void;
  /** The answers of what is in flight are not waited for. */
  abandon(): void;
}

export function createSendSpans({ stream }: { readonly stream: string }): SendSpans {
  const open = new Map<number, Span>();
  let current = registeredTracer();
  const begin = (tracer: Tracer, token: number, event: StoredEvent): void => {
    const span = quietly(() => start(tracer, event, stream));
    if (span?.isRecording()) open.set(token, span);
  };
  const end = (token: number, finish: (span: Span) => void): void => {
    const span = open.get(token);
    if (span === undefined) return;
    open.delete(token);
    quietly(() => {
      finish(span);
      span.end();
    });
  };
  const endStored = (token: number, sequence: number): void =>
    end(token, (span) => span.setAttribute(ATTRIBUTE.sequence, sequence));
  const endFailed = (token: number, outcome: Failure): void =>
    end(token, (span) => markFailed(span, { type: outcome.kind, message: reasonOf(outcome) }));
  // What every event passes has no closure in it: that would be an allocation for each.
  return {
    look() {
      current = registeredTracer();
    },
    begin(token, event) {
      if (current !== undefined && event.headers !== null) begin(current, token, event);
    },
    stored(token, sequence) {
      if (open.size > 0) endStored(token, sequence);
    },
    failed(token, outcome) {
      if (open.size > 0) endFailed(token, outcome);
    },
    abandon() {
      for (const token of [...open.keys()]) end(token, (span) => markFailed(span, UNANSWERED));
    },
  };
}

const UNANSWERED = {
  type: 'ambiguous',
  message: 'its answer was not waited for: the stream is compared with the log',
};

function reasonOf(outcome: Failure): string {
  return 'reason' in outcome ? outcome.reason : 'the broker calls it a duplicate, which proves nothing';
}

/** As a span of the writer's trace and linked to it, as if the writer had sent the event itself. */
function start(tracer: Tracer, { eventId, subject, headers }: StoredEvent, stream: string): Span | undefined {
  // Of what nobody records most is told by its last digits, in a tenth of the time.
  if (headers === null || headers.traceparent?.endsWith('-00')) return undefined;
  const creation = contextIn(headers);
  const linked = trace.getSpanContext(creation);
  if (linked === undefined || (linked.traceFlags & TraceFlags.SAMPLED) === 0) return undefined;
  return tracer.startSpan(
    `send ${stream}`,
    {
      kind: SpanKind.PRODUCER,
      links: [{ context: linked }],
      attributes: {
        [ATTRIBUTE.system]: SYSTEM,
        [ATTRIBUTE.operationName]: 'send',
        [ATTRIBUTE.operationType]: 'send',
        [ATTRIBUTE.destination]: stream,
        [ATTRIBUTE.messageId]: eventId,
        [ATTRIBUTE.subject]: subject,
      },
    },
    creation,
  );
}
