import { DeliverPolicy as ClientPolicy, jetstream, type OrderedConsumerOptions } from '@nats-io/jetstream';
import { messageOf, PostcommitError } from '../errors.ts';
import {
  type BrokerLink,
  type ConsumedEvent,
  type DeliverPolicy,
  toConsumedEvent,
} from '../jetstream/index.ts';
import { sleep } from '../lifecycle/abort.ts';

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
  let start = startOf(from);
  const pending = () => countFrom(link, stream, { ...start, ...filterOf(subjects) });
  try {
    if (left === 0) return;
    const messages = await consumer.consume();
    for await (const message of until === 'end' ? whilePending(messages, pending) : messages) {
      if (message === EXHAUSTED) return;
      const { stream: name, streamSequence: sequence, timestampNanos, deliveryCount } = message.info;
      start = startOf({ fromSequence: sequence + 1 });
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

/** By a consumer that is made for it: servers before 2.10 do not count down what expires before a consumer has got it. */
async function countFrom(
  link: BrokerLink,
  stream: string,
  options: Partial<OrderedConsumerOptions>,
): Promise<number> {
  const consumer = await open(link, stream, options);
  const { num_pending: pending } = await consumer.info();
  await consumer.delete().catch(() => undefined);
  return pending;
}

const EXHAUSTED = Symbol('exhausted');
const LOOK_AGAIN_MS = 1_000;

/** What was counted may be gone before it is delivered, by age or by a limit: then nothing comes, and nothing would ever. */
async function* whilePending<Message>(
  messages: AsyncIterable<Message> & { stop(): void },
  pending: () => Promise<number>,
): AsyncGenerator<Message | typeof EXHAUSTED> {
  const iterator = messages[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = iterator.next();
      let step = await inTime(next);
      // What was under way when nothing was pending any more has another moment to arrive.
      for (let empty = false; step === undefined; step = await inTime(next)) {
        if (empty) {
          yield EXHAUSTED;
          return;
        }
        empty = (await pending()) === 0;
      }
      if (step.done) return;
      yield step.value;
    }
  } finally {
    messages.stop(); // Its `return()` would wait for the message that does not come.
  }
}

/** Undefined when it takes longer. */
async function inTime<Value>(value: Promise<Value>): Promise<Value | undefined> {
  const over = new AbortController();
  try {
    return await Promise.race([value, sleep(LOOK_AGAIN_MS, over.signal).then(() => undefined)]);
  } finally {
    over.abort();
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
