import { type Context, context, diag, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api';

export type Headers = Readonly<Record<string, string>>;

/** Adds the captured context to the headers that an event was given. */
export type TraceStamp = (given: Headers) => Headers;

const UNCHANGED: TraceStamp = (given) => given;

/**
 * The context of the caller's active span, as the process's propagator writes it: by default `traceparent`, and `tracestate`
 * where there is one. Nothing is added without an active span, or to headers that hold one of the propagator's own: whoever
 * writes `traceparent` has said all there is to say.
 */
export function captureTrace(): TraceStamp {
  const active = context.active();
  const span = trace.getSpanContext(active);
  if (span === undefined || !trace.isSpanContextValid(span)) return UNCHANGED;
  const carried = inject(active);
  const own = new Set([...propagation.fields(), ...Object.keys(carried)].map((name) => name.toLowerCase()));
  return (given) =>
    Object.keys(given).some((name) => own.has(name.toLowerCase())) ? given : { ...given, ...carried };
}

/** The context that a message's headers carry, below nothing that is active here; the root where they carry none. */
export function contextIn(headers: Headers): Context {
  try {
    return propagation.extract(ROOT_CONTEXT, headers, GETTER);
  } catch (error) {
    diag.error('postcommit: the propagator failed to read headers', error);
    return ROOT_CONTEXT;
  }
}

/** A propagator may be anybody's, and what it writes must not have the event refused. */
const FIT_NAME = /^(?!nats-|postcommit-)[!-9;-~]+$/i;
const FIT_VALUE = /^[!-~]([ -~]*[!-~])?$/;

function inject(active: Context): Headers {
  const carried: Record<string, string> = {};
  try {
    propagation.inject(active, carried, {
      set(carrier, name, value) {
        if (FIT_NAME.test(name) && FIT_VALUE.test(value)) carrier[name] = value;
      },
    });
  } catch (error) {
    diag.error('postcommit: the propagator failed to write headers', error);
  }
  return carried;
}

/** Names in any case: Go's clients write `Traceparent`. */
const GETTER = {
  keys: (headers: Headers) => Object.keys(headers),
  get(headers: Headers, name: string) {
    if (Object.hasOwn(headers, name)) return headers[name];
    const found = Object.keys(headers).find((key) => key.toLowerCase() === name);
    return found === undefined ? undefined : headers[found];
  },
};
