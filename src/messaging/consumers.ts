import { PostcommitError } from '../errors.ts';
import { isObject, requestApi } from '../jetstream/api.ts';
import {
  type BrokerLink,
  CONSUMER_NOT_FOUND,
  type ConsumerDefinition,
  filtersOf,
  rawConsumerConfig,
} from '../jetstream/index.ts';
import { differencesBetween, type Provisioned } from './drift.ts';

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
  const body = { stream_name: stream, config: rawConsumerConfig(declared) };
  const answer = await requestApi(link, endpoint, { body });
  if (answer.kind === 'unavailable') throw unreachable(answer.reason);
  if (answer.kind === 'error') throw refused(declared, answer.reason);
  return { name: String(answer.body.name), created: true, differences: [] };
}

function differencesOf(declared: ConsumerDefinition, config: unknown) {
  const { subjects, ackPolicy, ackWaitMs, maxDeliver, maxAckPending } = declared;
  return differencesBetween(
    { subjects, ackPolicy, ackWaitMs, maxDeliver, maxAckPending },
    isObject(config) ? foundIn(config) : {},
  );
}

function foundIn(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { ack_wait: ackWait } = config;
  return {
    subjects: filtersOf(config),
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
