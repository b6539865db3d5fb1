import { PostcommitError } from '../errors.ts';
import { isObject, requestApi } from '../jetstream/api.ts';
import { type BrokerLink, type DeliverPolicy, rawStart } from '../jetstream/index.ts';
import { differencesBetween, type Provisioned } from './drift.ts';

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

const CONSUMER_NOT_FOUND = 10014;
const NANOS_PER_MS = 1_000_000;

/**
 * Creates the consumer, or compares the durable that is there with the declaration: all but where it began.
 *
 * @throws PostcommitError `stream-unsuitable` if the server will not create it, `broker-unreachable` if it does not answer.
 */
export async function ensureConsumer(link: BrokerLink, declared: ConsumerDefinition): Promise<Provisioned> {
  const { stream, durable } = declared;
  if (durable === undefined) return create(link, declared);
  const answer = await requestApi(link, `CONSUMER.INFO.${stream}.${durable}`);
  if (answer.kind === 'error' && answer.errCode === CONSUMER_NOT_FOUND) return create(link, declared);
  if (answer.kind === 'unavailable') throw unreachable(answer.reason);
  if (answer.kind === 'error') throw refused(declared, answer.reason);
  return { name: durable, created: false, differences: differencesOf(declared, answer.body.config) };
}

async function create(link: BrokerLink, declared: ConsumerDefinition): Promise<Provisioned> {
  const { stream, durable } = declared;
  const endpoint =
    durable === undefined ? `CONSUMER.CREATE.${stream}` : `CONSUMER.DURABLE.CREATE.${stream}.${durable}`;
  const body = { stream_name: stream, config: rawConfig(declared) };
  const answer = await requestApi(link, endpoint, { body });
  if (answer.kind === 'unavailable') throw unreachable(answer.reason);
  if (answer.kind === 'error') throw refused(declared, answer.reason);
  return { name: String(answer.body.name), created: true, differences: [] };
}

function rawConfig(declared: ConsumerDefinition): object {
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
    ...(more.length > 0
      ? { filter_subjects: subjects }
      : subject === undefined
        ? {}
        : { filter_subject: subject }),
  };
}

function differencesOf(declared: ConsumerDefinition, config: unknown) {
  const { subjects, ackPolicy, ackWaitMs, maxDeliver, maxAckPending } = declared;
  return differencesBetween(
    { subjects, ackPolicy, ackWaitMs, maxDeliver, maxAckPending },
    isObject(config) ? foundIn(config) : {},
  );
}

function foundIn(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { filter_subject: filter, filter_subjects: filters, ack_wait: ackWait } = config;
  return {
    subjects: Array.isArray(filters) ? filters : filter ? [filter] : [],
    ackPolicy: config.ack_policy,
    ackWaitMs: typeof ackWait === 'number' ? ackWait / NANOS_PER_MS : undefined,
    maxDeliver: config.max_deliver ?? -1,
    maxAckPending: config.max_ack_pending ?? -1,
  };
}

function refused(
  { stream, durable = 'an ephemeral consumer' }: ConsumerDefinition,
  reason: string,
): PostcommitError {
  return new PostcommitError(
    'stream-unsuitable',
    `'${durable}' cannot be created on the stream '${stream}': ${reason}`,
    'Check that the stream exists, that `subjects` are part of what it captures, and its limits.',
  );
}

function unreachable(reason: string): PostcommitError {
  return new PostcommitError('broker-unreachable', reason, 'Check that JetStream runs, and ask again.');
}
