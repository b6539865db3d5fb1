import { diag, ProxyTracerProvider, type Span, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api';
import { ATTRIBUTE } from './messaging-attributes.ts';

const SCOPE = 'postcommit';

/** What a provider that nobody has registered delegates to. */
const NOBODY = new ProxyTracerProvider().getDelegate();

export function tracer(): Tracer {
  return trace.getTracer(SCOPE);
}

/** Undefined where no tracer provider is registered, so that a hot path need not even ask for spans. */
export function registeredTracer(): Tracer | undefined {
  const provider = trace.getTracerProvider();
  // One of another copy of the API is there only because it was registered.
  const registered = !(provider instanceof ProxyTracerProvider) || provider.getDelegate() !== NOBODY;
  return registered ? tracer() : undefined;
}

/** Span processors may be anybody's: what they throw must not become an error of what is traced. */
export function quietly<Result>(work: () => Result): Result | undefined {
  try {
    return work();
  } catch (error) {
    diag.error('postcommit: a span could not be recorded', error);
    return undefined;
  }
}

export interface SpanFailure {
  /** Of few possible values. */
  readonly type: string;
  readonly message: string;
}

export function markFailed(span: Span, { type, message }: SpanFailure): void {
  span.setAttribute(ATTRIBUTE.errorType, type);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}
