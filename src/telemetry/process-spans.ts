import {
  type Attributes,
  type Context,
  context,
  type Link,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  trace,
} from '@opentelemetry/api';
import { ATTRIBUTE, SYSTEM } from './messaging-attributes.ts';
import { reasonOf } from './reason.ts';
import { contextIn, type Headers } from './trace-context.ts';
import { markFailed, quietly, tracer } from './tracing.ts';

/** Where messages come from. */
export interface ProcessSource {
  /** Of few possible values, for it is part of the span's name: a stream, or the pattern of a subscription. */
  readonly name: string;
  readonly attributes: Attributes;
  /** The handler takes several messages at once. Of these none is the parent, and each is linked. */
  readonly batch: boolean;
}

export interface ProcessedMessage {
  readonly headers: Headers;
  readonly attributes: Attributes;
}

/** One attempt at the effects of some messages. */
export interface ProcessSpans {
  /** Runs the handler of these messages with a span of its own active. */
  run(messages: readonly ProcessedMessage[], handle: () => Promise<void>): Promise<void>;
  /** Ends the spans with what became of the attempt: a handler that returned has had no effect if another one threw. */
  end(failure?: { readonly error: unknown }): void;
}

export function createProcessSpans(source: ProcessSource): ProcessSpans {
  const spans: Span[] = [];
  return {
    run(messages, handle) {
      const started = quietly(() => start(source, messages));
      if (started === undefined) return handle();
      spans.push(started.span);
      return context.with(started.active, handle);
    },
    end(failure) {
      for (const span of spans) quietly(() => end(span, failure));
    },
  };
}

function start(
  { name, attributes, batch }: ProcessSource,
  messages: readonly ProcessedMessage[],
): { span: Span; active: Context } {
  const contexts = messages.map(({ headers }) => contextIn(headers));
  const [first = ROOT_CONTEXT] = contexts;
  // What is active here, where the consumer was started, has nothing to do with the message.
  const parent = batch ? ROOT_CONTEXT : first;
  const span = tracer().startSpan(
    `process ${name}`,
    {
      kind: SpanKind.CONSUMER,
      attributes: {
        [ATTRIBUTE.system]: SYSTEM,
        [ATTRIBUTE.operationName]: 'process',
        [ATTRIBUTE.operationType]: 'process',
        ...attributes,
        ...(batch ? { [ATTRIBUTE.batchSize]: messages.length } : messages[0]?.attributes),
      },
      links: messages.flatMap((message, i) => linkTo(contexts[i], batch ? message.attributes : {})),
    },
    parent,
  );
  return { span, active: trace.setSpan(parent, span) };
}

/** The conventions want the link beside the parent, too. */
function linkTo(creation: Context | undefined, attributes: Attributes): Link[] {
  const linked = creation && trace.getSpanContext(creation);
  return linked === undefined ? [] : [{ context: linked, attributes }];
}

function end(span: Span, failure?: { readonly error: unknown }): void {
  if (failure !== undefined) fail(span, failure.error);
  span.end();
}

function fail(span: Span, error: unknown): void {
  const name = error instanceof Error ? error.name : typeof error;
  const message = reasonOf(error);
  const frames = framesOf(error);
  span.recordException({ name, message, ...(frames && { stack: `${name}: ${message}\n${frames}` }) });
  markFailed(span, { type: codeOf(error) ?? name, message });
}

/** Where it was thrown, without the message that stands above it. */
function framesOf(error: unknown): string {
  const lines = error instanceof Error && error.stack !== undefined ? error.stack.split('\n') : [];
  return lines.filter((line) => /^\s+at /.test(line)).join('\n');
}

/** An SQLSTATE or `ECONNREFUSED` says more than the class, which is `error` for all that PostgreSQL says. */
function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^[\w-]{1,40}$/.test(code) ? code : undefined;
}
