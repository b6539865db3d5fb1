import { createHash } from 'node:crypto';
import type { MsgHdrs } from '@nats-io/transport-node';
import { cloudEventOf } from './cloud-events.ts';
import { HEADER } from './headers.ts';

/** A message of a stream, and where it lies there. */
export interface SourceMessage {
  readonly subject: string;
  readonly headers: MsgHdrs | undefined;
  readonly data: Uint8Array;
  readonly stream: string;
  readonly sequence: number;
  /** When the stream stored it. */
  readonly time: Date;
  /** How often it was handed out, as far as it is known: 1 the first time. */
  readonly deliveryCount: number;
}

/** What a message says, wherever it comes from. */
export interface MessageContent {
  readonly subject: string;
  readonly key: string | null;
  /** As its writer gave it; of another publisher's [CloudEvent]{@link cloudEventOf} its `ce-type`. */
  readonly type: string | null;
  /** Application headers: without those of NATS and postcommit. */
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Uint8Array;
  /** The payload read as JSON; throws where it is none. The type is the caller's word: nothing checks it. */
  json<Payload = unknown>(): Payload;
}

/** An event as a handler receives it. */
export interface ConsumedEvent extends MessageContent {
  /**
   * `Postcommit-Event-Id`, else the publisher's `Nats-Msg-Id`, else `<stream>:<sequence>`. That of a CloudEvent is not looked at:
   * what an inbox has recorded by its place would have another name, and a second effect.
   */
  readonly id: string;
  readonly stream: string;
  readonly sequence: number;
  /** Place in the outbox it came from; null for messages of other publishers. */
  readonly position: number | null;
  /** When the stream stored it. */
  readonly time: Date;
  /** True if it was handed to a consumer before, which may or may not have finished with it. */
  readonly redelivered: boolean;
  readonly deliveryCount: number;
}

export function contentOf({
  subject,
  headers,
  data,
}: Pick<SourceMessage, 'subject' | 'headers' | 'data'>): MessageContent {
  const application = applicationHeaders(headers);
  return {
    subject,
    key: headers?.get(HEADER.key) || null,
    type: headers?.get(HEADER.type) || foreignType(headers, application),
    headers: application,
    payload: data,
    json: () => parseJson(data),
  };
}

/** Of a CloudEvent that another publisher made. On an event of ours that has no type `ce-type` is its subject. */
function foreignType(
  headers: MsgHdrs | undefined,
  application: Readonly<Record<string, string>>,
): string | null {
  if (headers === undefined || headers.has(HEADER.eventId)) return null;
  return cloudEventOf({ headers: application })?.type ?? null;
}

/** Without the message of JSON.parse, which quotes what it was given: it would be logged, and kept as a reason. */
function parseJson(data: Uint8Array) {
  try {
    return JSON.parse(Buffer.from(data).toString());
  } catch {
    throw new SyntaxError(`the payload (${data.length} bytes) is not JSON`);
  }
}

export function toConsumedEvent(message: SourceMessage): ConsumedEvent {
  const { headers, stream, sequence, time, deliveryCount } = message;
  const header = (name: string) => headers?.get(name) || null;
  const position = header(HEADER.position);
  return {
    ...contentOf(message),
    id: idOf(header(HEADER.eventId) ?? header(HEADER.messageId)) ?? `${stream}:${sequence}`,
    stream,
    sequence,
    position: position !== null && /^-?\d{1,16}$/.test(position) ? Number(position) : null,
    time,
    redelivered: deliveryCount > 1,
    deliveryCount,
  };
}

const LONGEST_ID = 512;

/** Of another publisher it may be anything; an inbox keeps it as text, in an index. */
function idOf(id: string | null): string | null {
  if (id === null || (id.length <= LONGEST_ID && !id.includes('\0'))) return id;
  return `sha256:${createHash('sha256').update(id).digest('hex')}`;
}

/** A marker fills the slot of an event that can never be stored; there is nothing in it for a handler. */
export function isMarker({ headers }: SourceMessage): boolean {
  return headers?.has(HEADER.skipped) ?? false;
}

function applicationHeaders(headers: MsgHdrs | undefined): Record<string, string> {
  const names = headers?.keys().filter((name) => !/^(nats|postcommit)-/i.test(name)) ?? [];
  return Object.fromEntries(names.map((name) => [name, headers?.values(name).join(', ') ?? '']));
}
