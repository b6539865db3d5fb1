import { DeliverPolicy as ClientPolicy, jetstream, type OrderedConsumerOptions } from '@nats-io/jetstream';
import { messageOf, PostcommitError } from '../errors.ts';
import {
  type BrokerLink,
  type ConsumedEvent,
  type DeliverPolicy,
  toConsumedEvent,
} from '../jetstream/index.ts';

export interface ReadOptions {
  readonly stream: string;
  /** Only messages on these subjects. Default: all. */
  readonly subjects?: readonly string[];
  /** Default `all`: from the first message that the stream holds. */
  readonly from?: DeliverPolicy;
  /** `end` (default): what the stream holds by now. `never`: what comes later, too, until the loop is left. */
  readonly until?: 'end' | 'never';
}

/**
 * The messages of a stream, in order: to build a read model, to look into the past, to try a handler on it. By an ephemeral
 * consumer of its own, which disturbs no other and remembers nothing: read again, and everything comes again. A work queue
 * lets nobody look.
 */
export async function* readStream(
  link: BrokerLink,
  { stream, subjects = [], from = 'all', until = 'end' }: ReadOptions,
): AsyncGenerator<ConsumedEvent> {
  const consumer = await open(link, stream, { ...startOf(from), ...filterOf(subjects) });
  let left = until === 'end' ? (await consumer.info()).num_pending : Number.POSITIVE_INFINITY;
  try {
    if (left === 0) return;
    for await (const message of await consumer.consume()) {
      const { stream: name, streamSequence: sequence, timestampNanos, deliveryCount } = message.info;
      yield toConsumedEvent({
        subject: message.subject,
        headers: message.headers,
        data: message.data,
        stream: name,
        sequence,
        time: new Date(timestampNanos / 1e6),
        deliveryCount,
      });
      // Of those that were counted some may be gone by now.
      if (--left === 0 || (until === 'end' && message.info.pending === 0)) return;
    }
    throw new PostcommitError(
      'broker-unreachable',
      `the stream '${stream}' was not read to its end: the connection to NATS was closed`,
      'Read it again.',
    );
  } finally {
    await consumer.delete().catch(() => undefined); // The server would in a moment.
  }
}

async function open({ connection }: BrokerLink, stream: string, options: Partial<OrderedConsumerOptions>) {
  try {
    return await jetstream(connection).consumers.get(stream, options);
  } catch (error) {
    throw new PostcommitError(
      'stream-unsuitable',
      `the stream '${stream}' cannot be read: ${messageOf(error)}`,
      'Check that it exists and that it is no work queue, whose messages go to its one consumer.',
      { cause: error },
    );
  }
}

/** Servers before 2.10 know one filter only. */
function filterOf([subject, ...more]: readonly string[]): Partial<OrderedConsumerOptions> {
  if (subject === undefined) return {};
  return { filter_subjects: more.length === 0 ? subject : [subject, ...more] };
}

function startOf(from: DeliverPolicy): Partial<OrderedConsumerOptions> {
  if (typeof from === 'object')
    return 'fromTime' in from
      ? { deliver_policy: ClientPolicy.StartTime, opt_start_time: from.fromTime.toISOString() }
      : { deliver_policy: ClientPolicy.StartSequence, opt_start_seq: from.fromSequence };
  const policies = {
    all: ClientPolicy.All,
    new: ClientPolicy.New,
    last: ClientPolicy.Last,
    'last-per-subject': ClientPolicy.LastPerSubject,
  };
  return { deliver_policy: policies[from] };
}
