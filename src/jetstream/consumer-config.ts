/** Where a durable begins when it is created; one that exists goes on from where it is. */
export type DeliverPolicy =
  | 'all'
  | 'new'
  | 'last'
  | 'last-per-subject'
  | { readonly fromSequence: number }
  | { readonly fromTime: Date };

/** As the server takes it. */
function rawStart(start: DeliverPolicy): object {
  if (typeof start === 'string') return { deliver_policy: start.replaceAll('-', '_') };
  if ('fromTime' in start)
    return { deliver_policy: 'by_start_time', opt_start_time: start.fromTime.toISOString() };
  return { deliver_policy: 'by_start_sequence', opt_start_seq: start.fromSequence };
}

/** A pull consumer. */
export interface ConsumerDefinition {
  readonly stream: string;
  /** Remembers how far it got. Default: none, an ephemeral consumer, which the server names and removes when it is not used. */
  readonly durable?: string;
  /** Only messages on these subjects. Default: all. Several need nats-server 2.10. */
  readonly subjects?: readonly string[];
  /** Where it begins. Default `all`. */
  readonly deliverPolicy?: DeliverPolicy;
  /** Default `explicit`: each message is acknowledged by itself. */
  readonly ackPolicy?: 'explicit' | 'all' | 'none';
  /** Default 30,000. */
  readonly ackWaitMs?: number;
  /** Deliveries of one message. Default: no limit; with one, what is never acknowledged is passed over in the end. */
  readonly maxDeliver?: number;
  /** Messages under way at a time. Default 1,000. */
  readonly maxAckPending?: number;
  /** When an ephemeral consumer that nobody uses is removed. Default: the server's, 5 s. */
  readonly inactiveAfterMs?: number;
}

export const CONSUMER_NOT_FOUND = 10014;
const NANOS_PER_MS = 1_000_000;

/** As the server takes it. */
export function rawConsumerConfig(declared: ConsumerDefinition): object {
  const { durable, subjects = [], deliverPolicy = 'all', ackPolicy = 'explicit', inactiveAfterMs } = declared;
  const [subject, ...more] = subjects;
  return {
    ...(durable === undefined ? {} : { durable_name: durable }),
    ...rawStart(deliverPolicy),
    ack_policy: ackPolicy,
    ...(ackPolicy === 'none' ? {} : { ack_wait: (declared.ackWaitMs ?? 30_000) * NANOS_PER_MS }),
    max_deliver: declared.maxDeliver ?? -1,
    ...(ackPolicy === 'none' ? {} : { max_ack_pending: declared.maxAckPending ?? 1_000 }),
    replay_policy: 'instant',
    ...(inactiveAfterMs === undefined ? {} : { inactive_threshold: inactiveAfterMs * NANOS_PER_MS }),
    // Servers before 2.10 know one filter only.
    ...(more.length > 0
      ? { filter_subjects: subjects }
      : subject === undefined
        ? {}
        : { filter_subject: subject }),
  };
}

/** Of a configuration as the server tells it; empty for everything. */
export function filtersOf(config: {
  readonly filter_subject?: unknown;
  readonly filter_subjects?: unknown;
}): readonly string[] {
  const { filter_subject: filter, filter_subjects: filters } = config;
  if (Array.isArray(filters)) return filters;
  return typeof filter === 'string' && filter !== '' ? [filter] : [];
}
