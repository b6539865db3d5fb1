import type { MsgHdrs } from '@nats-io/transport-node';
import { HEADER, subjectOf } from '../jetstream/index.ts';
import type { Delivery } from './message.ts';

/** An event as a handler receives it. */
export interface ConsumedEvent {
  /** `Postcommit-Event-Id`, else the publisher's `Nats-Msg-Id`, else `<stream>:<sequence>`. */
  readonly id: string;
  readonly subject: string;
  readonly key: string | null;
  readonly type: string | null;
  /** Application headers: without those of NATS and postcommit. */
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Uint8Array;
  /** The payload read as JSON; throws where it is none. */
  json(): unknown;
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

export function toConsumedEvent(delivery: Delivery): ConsumedEvent {
  const { message, stream, sequence, time, deliveryCount } = delivery;
  const header = (name: string) => message.headers?.get(name) || null;
  const position = header(HEADER.position);
  return {
    id: header(HEADER.eventId) ?? header(HEADER.messageId) ?? `${stream}:${sequence}`,
    subject: subjectOf(message),
    key: header(HEADER.key),
    type: header(HEADER.type),
    headers: applicationHeaders(message.headers),
    payload: message.data,
    json: () => JSON.parse(Buffer.from(message.data).toString()),
    stream,
    sequence,
    position: position === null ? null : Number(position),
    time,
    redelivered: deliveryCount > 1,
    deliveryCount,
  };
}

/** A marker fills the slot of an event that can never be stored; there is nothing in it for a handler. */
export function isMarker({ message }: Delivery): boolean {
  return message.headers?.has(HEADER.skipped) ?? false;
}

function applicationHeaders(headers: MsgHdrs | undefined): Record<string, string> {
  const names = headers?.keys().filter((name) => !/^(nats|postcommit)-/i.test(name)) ?? [];
  return Object.fromEntries(names.map((name) => [name, headers?.values(name).join(', ') ?? '']));
}
