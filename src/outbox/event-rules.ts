import { randomUUID } from 'node:crypto';
import { messageOf, PostcommitError } from '../errors.ts';
import type { OutboxEvent } from '../event.ts';
import type { TraceStamp } from '../telemetry/trace-context.ts';

/** An event as the INSERT takes it: text only, the payload in base64. */
export interface EncodedEvent {
  readonly id: string;
  readonly subject: string;
  readonly key: string | null;
  readonly type: string | null;
  /** JSON. */
  readonly headers: string;
  readonly payload: string;
}

// The rules of the CHECKs in the migration, so that a mistake is named before anything is sent. Those stay the
// authority: the largest payload, for instance, is a setting that only the database knows.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses.
const SUBJECT = /^[^\u0000-\u0020\u007f.*>$][^\u0000-\u0020\u007f.*>]*(\.[^\u0000-\u0020\u007f.*>]+)*$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses.
const UNFIT_FOR_HEADER = /[\r\n\u0000]|^\s|\s$/;
const HEADER_NAME = /^[!-9;-~]+$/;
const RESERVED_NAME = /^(nats|postcommit)-/i;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const LONE_SURROGATE = /\p{Surrogate}/u;

interface Fault {
  readonly message: string;
  readonly hint: string;
}

export interface Encoding {
  /** Adds the writer's trace to the headers. */
  readonly stamp: TraceStamp;
  /** In an array of events. */
  readonly place?: number;
}

/** @throws PostcommitError `event-invalid`, naming the event by its `place`. */
export function encodeEvent(event: OutboxEvent, { stamp, place }: Encoding): EncodedEvent {
  const fault = eventFault(event);
  if (fault !== undefined) throw invalid(fault, place);
  return {
    id: event.eventId?.toLowerCase() ?? randomUUID(),
    subject: event.subject,
    key: event.key ?? null,
    type: event.type ?? null,
    headers: JSON.stringify(stamp(event.headers ?? {})),
    payload: encodePayload(event.payload, place),
  };
}

function eventFault(event: OutboxEvent): Fault | undefined {
  if (typeof event !== 'object' || event === null) {
    return { message: 'it is not an object', hint: 'Write { subject, payload }.' };
  }
  return (
    subjectFault(event.subject) ??
    labelFault('key', event.key, "Use the aggregate's id, or leave it out.") ??
    labelFault('type', event.type, 'Use a name like patient.registered, or leave it out.') ??
    headersFault(event.headers ?? {}) ??
    eventIdFault(event.eventId)
  );
}

/** Something may be published on it. */
export function isSubject(text: string): boolean {
  return SUBJECT.test(text) && Buffer.byteLength(text) <= 255 && !LONE_SURROGATE.test(text);
}

function subjectFault(subject: unknown): Fault | undefined {
  const hint =
    'A subject is dot-separated tokens, none empty, without wildcards (* >), blanks or control characters, not starting with $, at most 255 bytes.';
  if (typeof subject !== 'string') return { message: 'its subject is not a string', hint };
  if (isSubject(subject)) return undefined;
  return { message: `its subject ${JSON.stringify(subject.slice(0, 300))} cannot be published to`, hint };
}

function labelFault(field: 'key' | 'type', value: unknown, hint: string): Fault | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') return { message: `its ${field} is not a string`, hint };
  const bytes = Buffer.byteLength(value);
  if (bytes >= 1 && bytes <= 512 && !unfitForHeader(value)) return undefined;
  return {
    message: `its ${field} is empty, longer than 512 bytes, or has a line break, NUL or blanks around it`,
    hint: `The ${field} becomes a header. ${hint}`,
  };
}

function headersFault(headers: object): Fault | undefined {
  // A Map, or fetch's Headers, has no properties: what is in it would be left out without a word.
  if (kindOf(headers) !== 'Object') {
    return { message: 'its headers are not an object', hint: 'Write { name: "value" }.' };
  }
  for (const [name, value] of Object.entries(headers)) {
    const fault = headerNameFault(name) ?? headerValueFault(name, value);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function headerNameFault(name: string): Fault | undefined {
  if (!HEADER_NAME.test(name)) {
    return {
      message: `its header name ${JSON.stringify(name)} is not allowed`,
      hint: 'Use printable ASCII without blanks and colons.',
    };
  }
  if (!RESERVED_NAME.test(name)) return undefined;
  return {
    message: `its header ${name} is reserved`,
    hint: "Nats-* headers steer the server (Nats-Rollup erases a stream) and Postcommit-* headers are the relay's own. Choose another name.",
  };
}

function headerValueFault(name: string, value: unknown): Fault | undefined {
  if (typeof value !== 'string') {
    return {
      message: `the value of its header ${name} is not a string`,
      hint: 'NATS headers are text: write numbers and booleans as strings.',
    };
  }
  if (!unfitForHeader(value)) return undefined;
  return {
    message: `the value of its header ${name} has a line break, NUL or blanks around it`,
    hint: 'NATS cannot carry them: remove them, or encode the value (for instance as base64).',
  };
}

/** A lone surrogate is no character: neither UTF-8 nor PostgreSQL can hold it. */
function unfitForHeader(value: string): boolean {
  return UNFIT_FOR_HEADER.test(value) || LONE_SURROGATE.test(value);
}

function eventIdFault(eventId: unknown): Fault | undefined {
  if (eventId === undefined || eventId === null || (typeof eventId === 'string' && UUID.test(eventId)))
    return undefined;
  return { message: 'its eventId is not a UUID', hint: 'Use crypto.randomUUID(), or leave it out.' };
}

function encodePayload(payload: unknown, place: number | undefined): string {
  if (payload instanceof Uint8Array) {
    return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('base64');
  }
  const hint = 'Hand in a Uint8Array for bytes, or a value that JSON can express.';
  let json: string | undefined;
  try {
    json = JSON.stringify(payload);
  } catch (error) {
    throw invalid({ message: `its payload cannot be written as JSON (${messageOf(error)})`, hint }, place);
  }
  if (json === undefined) {
    throw invalid({ message: `its payload is ${typeof payload}, which JSON cannot express`, hint }, place);
  }
  if (losesItsContent(payload, json)) {
    throw invalid(
      { message: `its payload is of the class ${kindOf(payload)}, which JSON cannot express`, hint },
      place,
    );
  }
  return Buffer.from(json).toString('base64');
}

/** JSON makes `{}` of a Map, a Set, a promise or an Error without a word, and an object of an array of other numbers. */
function losesItsContent(payload: unknown, json: string): boolean {
  return ArrayBuffer.isView(payload) || (json === '{}' && kindOf(payload) !== 'Object');
}

function kindOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice('[object '.length, -1);
}

function invalid({ message, hint }: Fault, place: number | undefined): PostcommitError {
  const subject = place === undefined ? 'the event' : `event ${place} of the array`;
  return new PostcommitError('event-invalid', `${subject} cannot be enqueued: ${message}`, hint);
}
