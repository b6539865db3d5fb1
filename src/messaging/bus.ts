import { jetstream } from '@nats-io/jetstream';
import type { TypedEvent } from '../contracts/define-event.ts';
import { isTypedEvent, toOutboxEvent } from '../contracts/typed-event.ts';
import { messageOf, PostcommitError } from '../errors.ts';
import type { OutboxEvent } from '../event.ts';
import {
  borrowLink,
  type ConsumedEvent,
  type ConsumerDefinition,
  HEADER,
  type NatsTarget,
  type StreamDefinition,
} from '../jetstream/index.ts';
import { type Logger, silentLogger } from '../telemetry/logger.ts';
import { ensureConsumer } from './consumers.ts';
import {
  type CoreMessage,
  encodeMessage,
  publish,
  type SubscribeOptions,
  type Subscription,
  subscribe,
} from './core.ts';
import type { Provisioned } from './drift.ts';
import { type ReadOptions, readStream } from './read-stream.ts';
import { ensureStream } from './streams.ts';

/** What NATS offers besides the outbox, each with the guarantee that it has. */
export interface Bus extends AsyncDisposable {
  /** At most once: whoever subscribes at this moment gets it. @throws PostcommitError `event-invalid` */
  publish(event: OutboxEvent): void;
  /** At most once: what is published from now on, while the connection is there. */
  subscribe(
    subject: string,
    handler: (message: CoreMessage) => Promise<void> | void,
    options?: SubscribeOptions,
  ): Subscription;
  /**
   * Publishes to the stream that captures the subject, and resolves when that has it: at least once, since an answer may be
   * lost. With the same `eventId` a repeat within the stream's duplicate window is stored once, and is a `duplicate`. It knows
   * nothing of a database transaction; that is what the outbox is for.
   *
   * @throws PostcommitError `event-invalid`, or `broker-unreachable` if nobody confirms it: it may be stored all the same.
   */
  store(event: OutboxEvent | TypedEvent): Promise<Stored>;
  /** Creates the stream, or reports what is not as declared. */
  ensureStream(declared: StreamDefinition): Promise<Provisioned>;
  /** Creates the pull consumer, or reports what is not as declared. */
  ensureConsumer(declared: ConsumerDefinition): Promise<Provisioned>;
  /** The messages of a stream in order, from where it is said. */
  readStream(options: ReadOptions): AsyncIterable<ConsumedEvent>;
  /** Sends what is under way and closes the connection, unless it is the caller's. */
  close(): Promise<void>;
}

export interface Stored {
  readonly stream: string;
  readonly sequence: number;
  /** The stream had a message with this id; nothing was stored, and `sequence` is that one's. */
  readonly duplicate: boolean;
}

export interface BusOptions {
  readonly nats: NatsTarget;
  readonly logger?: Logger;
}

/** @throws PostcommitError `broker-unreachable` or `config-invalid` */
export async function openBus({ nats, logger = silentLogger() }: BusOptions): Promise<Bus> {
  const { link, release } = await borrowLink(nats, logger);
  const close = async () => {
    if (link.connected) await link.connection.flush();
    await release();
  };
  return {
    publish: (event) => publish(link, event),
    subscribe: (subject, handler, options) => subscribe(link, { subject, handler, logger, ...options }),
    async store(event) {
      const { id, subject, payload, headers } = encodeMessage(
        isTypedEvent(event) ? await toOutboxEvent(event) : event,
      );
      headers.set(HEADER.messageId, id);
      try {
        const { stream, seq, duplicate } = await jetstream(link.connection).publish(subject, payload, {
          headers,
        });
        return { stream, sequence: seq, duplicate };
      } catch (error) {
        throw new PostcommitError(
          'broker-unreachable',
          `nobody has confirmed the message on '${subject}': ${messageOf(error)}`,
          'Check that a stream captures the subject, and repeat it with the same eventId.',
          { cause: error },
        );
      }
    },
    ensureStream: (declared) => ensureStream(link, declared),
    ensureConsumer: (declared) => ensureConsumer(link, declared),
    readStream: (options) => readStream(link, options),
    close,
    [Symbol.asyncDispose]: close,
  };
}
