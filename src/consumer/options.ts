import { PostcommitError } from '../errors.ts';
import type { ConsumedEvent, DeliverPolicy, NatsTarget } from '../jetstream/index.ts';
import { checkSubjectPattern, isJetStreamName } from '../jetstream/index.ts';
import type { BackoffOptions } from '../lifecycle/backoff.ts';
import { type Clock, SYSTEM_CLOCK } from '../lifecycle/clock.ts';
import type { NewEvent } from '../outbox/enqueue.ts';
import { type Logger, silentLogger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { ConsumerDatabase } from './database.ts';
import { type ConsumerMeter, createConsumerMeter } from './meter.ts';

export interface ConsumeOptions<Database extends ConsumerDatabase = ConsumerDatabase> {
  /**
   * A URL (or several, comma-separated), settings, a function that is asked for them at each (re)connect (rotated secrets), or
   * a connection of yours, which stays yours to close.
   */
  readonly nats: NatsTarget;
  readonly stream: string;
  /** Name of the durable pull consumer, created if it is missing, and of this consumer in the inbox. */
  readonly durable: string;
  /** Only messages on these subjects; wildcards allowed. Default: everything in the stream. */
  readonly subjects?: readonly string[];
  /** A `pg.Pool` or a Drizzle database, where the effects and the inbox live. */
  readonly db: Database;
  /** Where a durable that is created begins. Default `all`. */
  readonly deliverPolicy?: DeliverPolicy;
  /**
   * `key` (default): the events of a key (of a subject, where a message has no key) one after the other, in the stream's
   * order, whatever fails. `stream`: all of them. For these, one of the instances works and the others stand by. `none`: the
   * instances share the messages out, in any order.
   */
  readonly order?: ConsumerOrder;
  /** How long an active instance that hangs keeps the others from taking over. Default 5,000. Not for `order: 'none'`. */
  readonly leaseTtlMs?: number;
  /** Messages fetched ahead. Default 100. */
  readonly prefetch?: number;
  /** Handlers that run at a time: of different keys, or of any messages with `order: 'none'`. Default 1. */
  readonly concurrency?: number;
  /**
   * Events that share a transaction at most. Default 1. If the transaction fails, each is tried in its own, and only the one
   * that fails waits for another attempt.
   */
  readonly batchSize?: number;
  /** After so many failed attempts an event becomes a dead letter. Default 20: about a quarter of an hour with the default backoff. */
  readonly maxAttempts?: number;
  /**
   * How long the inbox remembers an event at least. Default 7 days. It is forgotten when, besides, the stream does not hold
   * its message any more.
   */
  readonly inboxRetentionMs?: number;
  /** After how long without a sign of life the server delivers again. Default 30,000; a running handler gives signs. */
  readonly ackWaitMs?: number;
  /** Delay before another attempt at an event whose handler failed. Default from 500 ms, doubling, to a minute. */
  readonly backoff?: BackoffOptions;
  /** Waits for the server to confirm each ack. Default false: a lost ack costs a redelivery without an effect. */
  readonly confirmAck?: boolean;
  /**
   * By which the delay before another attempt is measured. For tests: `createFakeClock()` of `postcommit/testing`. With one
   * of your own and `order: 'none'`, a failed event is kept in hand for that time, where it would go back to the server at once.
   * Default: the machine's.
   */
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

export interface HandlerContext<Tx> {
  /** The transaction that the inbox row is part of: write through it, and there is one effect. */
  readonly tx: Tx;
  /** Writes follow-up events in the same transaction. */
  enqueue(event: NewEvent): Promise<string>;
  enqueue(events: readonly NewEvent[]): Promise<string[]>;
  /** Aborts when `stop()` has waited long enough. */
  readonly signal: AbortSignal;
}

/**
 * Returns to commit and acknowledge; throws to roll back and see the event again later. `Retry` says when, `Reject` that it
 * never can succeed.
 */
export type Handler<Tx> = (event: ConsumedEvent, context: HandlerContext<Tx>) => Promise<void> | void;

/** As `Handler`, for the events of one transaction, in order. After a failure it is called with one at a time. */
export type BatchHandler<Tx> = (
  events: readonly ConsumedEvent[],
  context: HandlerContext<Tx>,
) => Promise<void> | void;

export type ConsumerOrder = 'key' | 'stream' | 'none';

export interface ConsumerSettings {
  readonly stream: string;
  readonly durable: string;
  readonly subjects: readonly string[];
  readonly deliverPolicy: DeliverPolicy;
  readonly prefetch: number;
  readonly order: ConsumerOrder;
  readonly leaseTtlMs: number;
  readonly concurrency: number;
  readonly batchSize: number;
  readonly maxAttempts: number;
  readonly inboxRetentionMs: number;
  readonly ackWaitMs: number;
  readonly backoff: Required<BackoffOptions>;
  readonly confirmAck: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: ConsumerMeter;
}

/** @throws PostcommitError `config-invalid` */
export function resolveOptions(options: ConsumeOptions): ConsumerSettings {
  const { stream, durable, subjects = [], prefetch = 100, concurrency = 1, ackWaitMs = 30_000 } = options;
  const {
    order = 'key',
    leaseTtlMs = 5_000,
    batchSize = 1,
    maxAttempts = 20,
    inboxRetentionMs = INBOX_RETENTION_MS,
  } = options;
  requireName('stream', stream);
  requireName('durable', durable);
  subjects.forEach(requirePattern);
  requireWhole('prefetch', prefetch, 1);
  requireWhole('concurrency', concurrency, 1);
  requireWhole('ackWaitMs', ackWaitMs, 100);
  requireWhole('leaseTtlMs', leaseTtlMs, 500);
  requireWhole('batchSize', batchSize, 1);
  requireWhole('maxAttempts', maxAttempts, 1);
  requireWhole('inboxRetentionMs', inboxRetentionMs, 0);
  requireOrder(order);
  if (options.deliverPolicy === 'last-per-subject' && order !== 'none')
    throw invalid(
      "`deliverPolicy: 'last-per-subject'` leaves messages out, which an order counts on: set `order: 'none'`",
    );
  return {
    stream,
    durable,
    subjects,
    deliverPolicy: options.deliverPolicy ?? 'all',
    // Fewer would leave handlers without work.
    prefetch: Math.max(prefetch, concurrency * batchSize),
    order,
    leaseTtlMs,
    concurrency,
    batchSize,
    maxAttempts,
    inboxRetentionMs,
    ackWaitMs,
    backoff: { firstMs: options.backoff?.firstMs ?? 500, maxMs: options.backoff?.maxMs ?? 60_000 },
    confirmAck: options.confirmAck ?? false,
    clock: options.clock ?? SYSTEM_CLOCK,
    logger: options.logger ?? silentLogger(),
    meter: createConsumerMeter(options.metrics, durable),
  };
}

/** A week. */
export const INBOX_RETENTION_MS = 7 * 24 * 60 * 60 * 1_000;

function requireOrder(order: string): void {
  if (['key', 'stream', 'none'].includes(order)) return;
  throw invalid("`order` must be 'key', 'stream' or 'none'");
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
