import type { NatsConnection } from '@nats-io/transport-node';
import { PostcommitError } from '../errors.ts';
import type { OutboxEvent } from '../event.ts';
import type { BrokerLink, NatsSettings } from '../jetstream/index.ts';
import { checkSubjectPattern, isJetStreamName } from '../jetstream/index.ts';
import type { BackoffOptions } from '../lifecycle/backoff.ts';
import { type Logger, silentLogger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { ConsumerDatabase } from './database.ts';
import type { DeliverPolicy } from './durable.ts';
import type { ConsumedEvent } from './event.ts';

export interface ConsumeOptions<Database extends ConsumerDatabase = ConsumerDatabase> {
  /** A URL (or several, comma-separated), settings, or a connection of yours, which stays yours to close. */
  readonly nats: string | NatsSettings | NatsConnection | BrokerLink;
  readonly stream: string;
  /** Name of the durable pull consumer, created if it is missing, and of this consumer in the inbox. */
  readonly durable: string;
  /** Only messages on these subjects; wildcards allowed. Default: everything in the stream. */
  readonly subjects?: readonly string[];
  /** A `pg.Pool` or a Drizzle database, where the effects and the inbox live. */
  readonly db: Database;
  /** Where a durable that is created begins. Default `all`. */
  readonly deliverPolicy?: DeliverPolicy;
  /** Messages fetched ahead. Default 100. */
  readonly prefetch?: number;
  /** Handlers that run at a time. Default 1: in the stream's order, as long as none fails. */
  readonly concurrency?: number;
  /** After how long without a sign of life the server delivers again. Default 30,000; a running handler gives signs. */
  readonly ackWaitMs?: number;
  /** Delay before another delivery of a message whose handler failed. Default from 500 ms, doubling, to a minute. */
  readonly backoff?: BackoffOptions;
  /** Waits for the server to confirm each ack. Default false: a lost ack costs a redelivery without an effect. */
  readonly confirmAck?: boolean;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

export interface HandlerContext<Tx> {
  /** The transaction that the inbox row is part of: write through it, and there is one effect. */
  readonly tx: Tx;
  /** Writes follow-up events in the same transaction. */
  enqueue(event: OutboxEvent): Promise<string>;
  enqueue(events: readonly OutboxEvent[]): Promise<string[]>;
  /** Aborts when `stop()` has waited long enough. */
  readonly signal: AbortSignal;
}

/** Returns to commit and acknowledge; throws to roll back and see the event again later. */
export type Handler<Tx> = (event: ConsumedEvent, context: HandlerContext<Tx>) => Promise<void> | void;

export interface ConsumerSettings {
  readonly stream: string;
  readonly durable: string;
  readonly subjects: readonly string[];
  readonly deliverPolicy: DeliverPolicy;
  readonly prefetch: number;
  readonly concurrency: number;
  readonly ackWaitMs: number;
  readonly backoff: Required<BackoffOptions>;
  readonly confirmAck: boolean;
  readonly logger: Logger;
  readonly metrics: Metrics | undefined;
}

/** @throws PostcommitError `config-invalid` */
export function resolveOptions(options: ConsumeOptions): ConsumerSettings {
  const { stream, durable, subjects = [], prefetch = 100, concurrency = 1, ackWaitMs = 30_000 } = options;
  requireName('stream', stream);
  requireName('durable', durable);
  subjects.forEach(requirePattern);
  requireWhole('prefetch', prefetch, 1);
  requireWhole('concurrency', concurrency, 1);
  requireWhole('ackWaitMs', ackWaitMs, 100);
  return {
    stream,
    durable,
    subjects,
    deliverPolicy: options.deliverPolicy ?? 'all',
    // Fewer would leave handlers without work.
    prefetch: Math.max(prefetch, concurrency),
    concurrency,
    ackWaitMs,
    backoff: { firstMs: options.backoff?.firstMs ?? 500, maxMs: options.backoff?.maxMs ?? 60_000 },
    confirmAck: options.confirmAck ?? false,
    logger: options.logger ?? silentLogger(),
    metrics: options.metrics,
  };
}

function requireName(option: 'stream' | 'durable', value: unknown): void {
  if (typeof value === 'string' && isJetStreamName(value)) return;
  throw invalid(
    `\`${option}\` must be a name without blanks, dots, slashes, wildcards and control characters, of 1 to 255 bytes`,
  );
}

function requirePattern(subject: string): void {
  const fault = checkSubjectPattern(subject);
  if (fault !== undefined) throw invalid(`a subject in \`subjects\` cannot be consumed: ${fault}`);
}

function requireWhole(option: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw invalid(`\`${option}\` must be a whole number of at least ${least}`);
}

function invalid(message: string): PostcommitError {
  return new PostcommitError('config-invalid', message, 'Correct the options of consume().');
}
