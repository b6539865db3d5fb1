import type { Msg, NatsConnection } from '@nats-io/transport-node';

/** One delivery of a message by a pull consumer, to be settled once: by `ack`, `confirm` or `nak`. */
export interface Delivery {
  readonly message: Msg;
  readonly stream: string;
  readonly sequence: number;
  /** 1 the first time. */
  readonly deliveryCount: number;
  /** When the stream stored the message. */
  readonly time: Date;
  /** Settles it without waiting: an ack that is lost costs a redelivery, which the inbox recognises. */
  ack(): void;
  /** Settles it and waits for the server's word; false if that does not come. */
  confirm(timeoutMs: number): Promise<boolean>;
  /** Hands it back for another delivery after the delay. */
  nak(delayMs: number): void;
  /** Starts the ack wait anew. */
  working(): void;
}

export interface DeliveryOptions {
  readonly connection: NatsConnection;
  onSettled(delivery: Delivery): void;
}

const NANOS_PER_MS = 1_000_000;

export function createDelivery(message: Msg, { connection, onSettled }: DeliveryOptions): Delivery {
  const reply = message.reply ?? '';
  const settle = (answer: string) => {
    onSettled(delivery);
    if (!connection.isClosed()) connection.publish(reply, answer);
  };
  const delivery: Delivery = {
    message,
    ...deliveryInfo(reply),
    ack: () => settle('+ACK'),
    async confirm(timeoutMs) {
      onSettled(delivery);
      return connection.request(reply, '+ACK', { timeout: timeoutMs }).then(
        () => true,
        () => false,
      );
    },
    nak: (delayMs) => settle(`-NAK ${JSON.stringify({ delay: Math.round(delayMs * NANOS_PER_MS) })}`),
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
function deliveryInfo(reply: string): Pick<Delivery, 'stream' | 'sequence' | 'deliveryCount' | 'time'> {
  const tokens = reply.split('.');
  const [stream = '', , deliveryCount, sequence, , nanos] = tokens.slice(tokens.length === 9 ? 2 : 4);
  return {
    stream,
    sequence: Number(sequence),
    deliveryCount: Number(deliveryCount),
    time: new Date(Number(nanos) / NANOS_PER_MS),
  };
}
