import { hostname } from 'node:os';
import type { Ordering } from '../batch-log/batch.ts';
import type { CloudEventsMode, NatsSettings } from '../jetstream/index.ts';
import { type Logger, silentLogger } from '../telemetry/logger.ts';
import { createMetrics, type Metrics } from '../telemetry/metrics.ts';
import type { DeadLetterPolicy } from './lane/lane-letters.ts';

/** One stream with its subjects and its ordering. */
export interface LaneOptions {
  readonly stream: string;
  /** Patterns; an event goes to the first lane that matches. */
  readonly subjects: readonly string[];
  /**
   * `stream`: one total order, the relay is the stream's only writer. `key`: order per key, beside other writers. `none`:
   * no order. Default `stream`.
   */
  readonly ordering?: Ordering;
  /** What happens to later events of a key whose head can never be stored. Default `skip`: they go on. */
  readonly deadLetters?: DeadLetterPolicy;
}

export interface RelayOptions {
  /** Called at each connect, so that rotated secrets are read again. */
  readonly databaseUrl: () => string;
  readonly nats: () => NatsSettings;
  readonly lanes: readonly LaneOptions[];
  /** Create a missing stream. Default true. */
  readonly provision?: boolean;
  /** Names this outbox in message headers. Default: the database's name and system identifier. */
  readonly source?: string;
  /** `binary`: messages are CloudEvents as well, by headers that they get besides. Default `off`. */
  readonly cloudEvents?: CloudEventsMode;
  /** How long a silent leader keeps the lease, in milliseconds. Default 5,000; at least 1,000. */
  readonly leaseTtlMs?: number;
  /** How long stored events stay in the outbox, in milliseconds. Default 24 hours. */
  readonly retentionMs?: number;
  /** Inserts move on to the next segment of the outbox at this size. Default 256 MiB. */
  readonly segmentBytes?: number;
  /** Dead letters of a lane that may await a decision; with more it pauses. Default 10,000. */
  readonly maxDeadLetters?: number;
  /** Shown in the lease to operators. Default: host name and process id. */
  readonly member?: string;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** Of a lane, that may await a decision. */
export const MAX_DEAD_LETTERS = 10_000;

export type ResolvedOptions = Required<Omit<RelayOptions, 'source'>> & {
  readonly source: string | undefined;
};

export function resolveOptions(options: RelayOptions): ResolvedOptions {
  return {
    provision: true,
    cloudEvents: 'off',
    leaseTtlMs: 5_000,
    retentionMs: 24 * 60 * 60 * 1_000,
    segmentBytes: 256 * 1024 * 1024,
    maxDeadLetters: MAX_DEAD_LETTERS,
    member: `${hostname()}:${process.pid}`,
    logger: silentLogger(),
    metrics: createMetrics(),
    ...options,
    source: options.source,
  };
}
