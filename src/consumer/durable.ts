import { PostcommitError } from '../errors.ts';
import { isObject, requestApi } from '../jetstream/api.ts';
import { type BrokerLink, lookUpStream } from '../jetstream/index.ts';

/** Where a durable begins when it is created; one that exists goes on from where it is. */
export type DeliverPolicy = 'all' | 'new' | { readonly fromSequence: number } | { readonly fromTime: Date };

export interface DurableDefinition {
  readonly stream: string;
  readonly durable: string;
  /** Empty for everything in the stream. */
  readonly subjects: readonly string[];
  readonly ackWaitMs: number;
  readonly maxAckPending: number;
  readonly deliverPolicy: DeliverPolicy;
}

/** How far the durable had got when it was last seen, and in which incarnation of the stream. */
export interface DurableProgress {
  readonly incarnation: string;
  readonly ackFloor: number;
}

export interface DurableState {
  readonly progress: DurableProgress;
  /** As the server has it. */
  readonly ackWaitMs: number;
  /** What differs from the definition without harm. */
  readonly differences: readonly string[];
}

export type DurableOutcome =
  | { readonly kind: 'ready'; readonly state: DurableState }
  | { readonly kind: 'unavailable'; readonly reason: string }
  | { readonly kind: 'unsuitable'; readonly error: PostcommitError };

interface RawConsumerInfo {
  readonly config: {
    readonly deliver_subject?: string;
    readonly ack_policy?: string;
    readonly ack_wait?: number;
    readonly backoff?: readonly number[];
    readonly max_deliver?: number;
    readonly max_ack_pending?: number;
    readonly filter_subject?: string;
    readonly filter_subjects?: readonly string[];
  };
  readonly ack_floor: { readonly stream_seq: number };
  /** Before the first delivery its `stream_seq` is the message before the one to begin with. */
  readonly delivered: { readonly consumer_seq: number; readonly stream_seq: number };
}

const NANOS_PER_MS = 1_000_000;
const CONSUMER_NOT_FOUND = 10014;

/**
 * Finds the durable or creates it; one that is there is never changed. `last` says how far it had got, if it was
 * seen before: a durable that vanished is created again from there, so that `new` does not skip what came meanwhile.
 */
export async function provideDurable(
  link: BrokerLink,
  definition: DurableDefinition,
  last?: DurableProgress,
): Promise<DurableOutcome> {
  const { stream, durable } = definition;
  const lookup = await lookUpStream(link, stream);
  if (lookup.kind === 'missing')
    return { kind: 'unavailable', reason: `the stream '${stream}' does not exist (yet)` };
  if (lookup.kind === 'unavailable') return lookup;
  const incarnation = lookup.state.created;
  let answer = await requestApi(link, `CONSUMER.INFO.${stream}.${durable}`);
  if (answer.kind === 'error' && answer.errCode === CONSUMER_NOT_FOUND) {
    const body = {
      stream_name: stream,
      config: rawConfig(definition, startOf(definition, incarnation, last)),
    };
    answer = await requestApi(link, `CONSUMER.DURABLE.CREATE.${stream}.${durable}`, { body });
    if (answer.kind === 'error') return refused(definition, answer.reason);
  }
  if (answer.kind === 'error') return { kind: 'unavailable', reason: answer.reason };
  if (answer.kind === 'unavailable') return answer;
  const info: unknown = answer.body;
  if (!isConsumerInfo(info))
    return {
      kind: 'unavailable',
      reason: `JetStream's answer about the durable '${durable}' is incomplete, or of no known form`,
    };
  return judge(definition, info, incarnation);
}

function isConsumerInfo(info: unknown): info is RawConsumerInfo {
  if (!isObject(info) || !isObject(info.config) || !isObject(info.ack_floor) || !isObject(info.delivered))
    return false;
  const { filter_subjects: filters, backoff } = info.config;
  const sequences = [info.ack_floor.stream_seq, info.delivered.stream_seq, info.delivered.consumer_seq];
  return sequences.every(Number.isSafeInteger) && [filters, backoff].every((list) => isListOrNone(list));
}

function isListOrNone(value: unknown): boolean {
  return value === undefined || Array.isArray(value);
}

function startOf(
  { deliverPolicy }: DurableDefinition,
  incarnation: string,
  last?: DurableProgress,
): DeliverPolicy {
  if (last === undefined) return deliverPolicy;
  return last.incarnation === incarnation ? { fromSequence: last.ackFloor + 1 } : 'all';
}

function rawConfig(definition: DurableDefinition, start: DeliverPolicy): object {
  const { durable, subjects, ackWaitMs, maxAckPending } = definition;
  const [subject, ...more] = subjects;
  return {
    durable_name: durable,
    ...rawStart(start),
    ack_policy: 'explicit',
    ack_wait: ackWaitMs * NANOS_PER_MS,
    max_deliver: -1,
    max_ack_pending: maxAckPending,
    replay_policy: 'instant',
    // Servers before 2.10 know one filter only.
    ...(more.length > 0
      ? { filter_subjects: subjects }
      : subject === undefined
        ? {}
        : { filter_subject: subject }),
  };
}

function rawStart(start: DeliverPolicy): object {
  if (typeof start === 'string') return { deliver_policy: start };
  if ('fromTime' in start)
    return { deliver_policy: 'by_start_time', opt_start_time: start.fromTime.toISOString() };
  return { deliver_policy: 'by_start_sequence', opt_start_seq: start.fromSequence };
}

function refused({ stream, durable }: DurableDefinition, reason: string): DurableOutcome {
  const error = new PostcommitError(
    'stream-unsuitable',
    `the durable '${durable}' cannot be created on the stream '${stream}': ${reason}`,
    'Check that `subjects` are part of what the stream captures, and the limits of the stream and the account.',
  );
  return { kind: 'unsuitable', error };
}

function judge(definition: DurableDefinition, info: RawConsumerInfo, incarnation: string): DurableOutcome {
  const { stream, durable } = definition;
  const faults = faultsOf(definition, info.config);
  if (faults.length > 0) {
    const error = new PostcommitError(
      'stream-unsuitable',
      `the durable '${durable}' of the stream '${stream}' cannot be consumed: ${faults.join('; ')}`,
      'Use another `durable`, or change this one: postcommit never does. `nats consumer edit` or delete and create.',
    );
    return { kind: 'unsuitable', error };
  }
  const floor = info.delivered.consumer_seq === 0 ? info.delivered : info.ack_floor;
  const progress = { incarnation, ackFloor: floor.stream_seq };
  const ackWaitMs = ackWaitOf(info.config);
  return {
    kind: 'ready',
    state: { progress, ackWaitMs, differences: differencesOf(definition, info.config) },
  };
}

function faultsOf({ subjects }: DurableDefinition, config: RawConsumerInfo['config']): string[] {
  const faults: string[] = [];
  if (config.deliver_subject) faults.push('it is a push consumer, and consume() pulls');
  if (config.ack_policy !== 'explicit') faults.push(`its ack policy is ${config.ack_policy}, not explicit`);
  if ((config.max_deliver ?? -1) > 0) {
    faults.push(`it gives up after ${config.max_deliver} deliveries (max_deliver), which would lose events`);
  }
  const filters = config.filter_subjects ?? (config.filter_subject ? [config.filter_subject] : []);
  if (!sameSet(filters, subjects))
    faults.push(`it delivers ${list(filters)}, and \`subjects\` asks for ${list(subjects)}`);
  return faults;
}

function differencesOf(definition: DurableDefinition, config: RawConsumerInfo['config']): string[] {
  const differences: string[] = [];
  const ackWaitMs = ackWaitOf(config);
  if (ackWaitMs !== definition.ackWaitMs) {
    differences.push(`its ack wait is ${ackWaitMs} ms, not ${definition.ackWaitMs} ms`);
  }
  const pending = config.max_ack_pending ?? -1;
  if (pending > 0 && pending < definition.maxAckPending) {
    differences.push(
      `it lets ${pending} messages be under way (max_ack_pending), not ${definition.maxAckPending}`,
    );
  }
  return differences;
}

/** A consumer's own backoff replaces its ack wait. */
function ackWaitOf({ ack_wait = 30_000 * NANOS_PER_MS, backoff = [] }: RawConsumerInfo['config']): number {
  return Math.min(...(backoff.length > 0 ? backoff : [ack_wait])) / NANOS_PER_MS;
}

function sameSet(one: readonly string[], other: readonly string[]): boolean {
  return [...new Set(one)].sort().join(' ') === [...new Set(other)].sort().join(' ');
}

function list(subjects: readonly string[]): string {
  return subjects.length === 0 ? 'everything' : subjects.map((subject) => `'${subject}'`).join(', ');
}
