import type { MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import { type SourceMessage, subjectOf } from '../../jetstream/index.ts';

/** One delivery of a message by a pull consumer, to be settled once: by `ack`, `confirm`, `nak` or `term`. */
export interface Delivery {
  readonly message: SourceMessage;
  /** Counts everything that the durable delivers. Null for a message that was read and not delivered to us. */
  readonly consumerSequence: number | null;
  /** Settles it without waiting: an ack that is lost costs a redelivery, which the inbox recognises. */
  ack(): void;
  /** Settles it and waits for the server's word; false if that does not come. */
  confirm(timeoutMs: number): Promise<boolean>;
  /** Hands it back for another delivery after the delay. */
  nak(delayMs: number): void;
  /** Settles it: it is never delivered again, and counts as given up. */
  term(): void;
  /** Starts the ack wait anew. */
  working(): void;
}

export interface DeliveryOptions {
  readonly connection: NatsConnection;
  onSettled(delivery: Delivery): void;
}

const NANOS_PER_MS = 1_000_000;

/** `Msg`, by its structure. */
type Delivered = Parameters<typeof subjectOf>[0] & {
  readonly reply?: string;
  readonly headers?: MsgHdrs | undefined;
  readonly data: Uint8Array;
};

export function createDelivery(message: Delivered, options: DeliveryOptions): Delivery {
  const reply = message.reply ?? '';
  const { consumerSequence, ...info } = deliveryInfo(reply);
  const source = { subject: subjectOf(message), headers: message.headers, data: message.data, ...info };
  return deliveryOf(source, { reply, consumerSequence, ...options });
}

/**
 * For a message that another instance was given and that was read from the stream since. The server keeps it as pending by
 * its stream sequence, and takes an answer by that. A server that did not would deliver the message once more, and it would
 * be recognised then.
 *
 * The consumer sequence must be 0, which no delivery has: where the message is not pending any more the server compares that
 * of the answer with its ack floor, and one that happened to be the next would lift the floor past messages that are pending
 * (seen on 2.9.10).
 */
export function createForeignDelivery(
  message: SourceMessage,
  options: DeliveryOptions & { readonly durable: string; readonly delivered: number },
): Delivery {
  const { stream, sequence, time } = message;
  const nanos = time.getTime() * NANOS_PER_MS;
  const replyAs = (consumerSequence: number) =>
    `$JS.ACK.${stream}.${options.durable}.1.${sequence}.${consumerSequence}.${nanos}.0`;
  return deliveryOf(message, {
    ...options,
    reply: replyAs(0),
    // A negative one moves no floor, and is heard only with a number between the floor and the last delivered.
    nakReply: replyAs(options.delivered),
    consumerSequence: null,
  });
}

function deliveryOf(
  message: SourceMessage,
  options: DeliveryOptions & {
    readonly reply: string;
    /** Default: as for everything else. */
    readonly nakReply?: string;
    readonly consumerSequence: number | null;
  },
): Delivery {
  const { connection, onSettled, reply, nakReply = reply, consumerSequence } = options;
  const settle = (answer: string, to = reply) => {
    onSettled(delivery);
    if (!connection.isClosed()) connection.publish(to, answer);
  };
  const delivery: Delivery = {
    message,
    consumerSequence,
    ack: () => settle('+ACK'),
    async confirm(timeoutMs) {
      onSettled(delivery);
      return connection.request(reply, '+ACK', { timeout: timeoutMs }).then(
        () => true,
        () => false,
      );
    },
    nak: (delayMs) =>
      settle(`-NAK ${JSON.stringify({ delay: Math.round(delayMs * NANOS_PER_MS) })}`, nakReply),
    // Servers before 2.10 know no reason behind it.
    term: () => settle('+TERM'),
    working() {
      if (!connection.isClosed()) connection.publish(reply, '+WPI');
    },
  };
  return delivery;
}

/**
 * The server writes into the reply subject what it knows of the delivery:
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<nanoseconds>.<pending>`,
 * since 2.10 possibly with a domain and an account before the stream.
 */
function deliveryInfo(reply: string) {
  const tokens = reply.split('.');
  const [stream = '', , deliveryCount, sequence, consumerSequence, nanos] = tokens.slice(
    tokens.length === 9 ? 2 : 4,
  );
  return {
    stream,
    sequence: Number(sequence),
    consumerSequence: Number(consumerSequence),
    deliveryCount: Number(deliveryCount),
    time: new Date(Number(nanos) / NANOS_PER_MS),
  };
}
