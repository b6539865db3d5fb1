import { PostcommitError } from '../../errors.ts';
import { isObject, requestApi } from '../../jetstream/api.ts';
import {
  type BrokerLink,
  CONSUMER_NOT_FOUND,
  type DeliverPolicy,
  filtersOf,
  lookUpStream,
  rawConsumerConfig,
  type StreamState,
} from '../../jetstream/index.ts';

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

/** Where a durable that is missing was to begin, whatever its policy says. */
export interface DurableStart {
  readonly fromSequence: number;
}

export interface DurableState {
  readonly progress: DurableProgress;
  /** When it was made: one of another time has another account. */
  readonly created: string;
  /** The first sequence that is its business; undefined where only its policy says so. */
  readonly start: number | undefined;
  /** The last delivery, to whomever, in the stream's count and in the durable's own. */
  readonly delivered: { readonly streamSequence: number; readonly consumerSequence: number };
  /** What the stream held when it was asked last, which was after the durable. */
  readonly stream: Pick<StreamState, 'firstSequence' | 'lastSequence' | 'retention'>;
  /** As the server has it, to make another like it. */
  readonly config: Readonly<Record<string, unknown>>;
  /** On the clock of `performance.now()`: what came before has been sent before this was said. */
  readonly askedAtMs: number;
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
  readonly created: string;
  readonly config: Readonly<Record<string, unknown>> & {
    readonly deliver_subject?: string;
    readonly ack_policy?: string;
    readonly ack_wait?: number;
    readonly backoff?: readonly number[];
    readonly max_deliver?: number;
    readonly max_ack_pending?: number;
    readonly filter_subject?: string;
    readonly filter_subjects?: readonly string[];
    readonly deliver_policy?: string;
    readonly opt_start_seq?: number;
    readonly headers_only?: boolean;
  };
  readonly ack_floor: { readonly consumer_seq: number; readonly stream_seq: number };
  /** Before the first delivery its `stream_seq` is the message before the one to begin with. */
  readonly delivered: { readonly consumer_seq: number; readonly stream_seq: number };
}

const NANOS_PER_MS = 1_000_000;

/**
 * Finds the durable or creates it; one that is there is never changed. `last` says how far it had got, if it was
 * seen before: a durable that vanished is created again from there, so that `new` does not skip what came meanwhile.
 */
export async function provideDurable(
  link: BrokerLink,
  definition: DurableDefinition,
  last?: DurableProgress | DurableStart,
): Promise<DurableOutcome> {
  const { stream, durable } = definition;
  const askedAtMs = performance.now();
  const lookup = await lookUpStream(link, stream);
  if (lookup.kind === 'missing')
    return { kind: 'unavailable', reason: `the stream '${stream}' does not exist (yet)` };
  if (lookup.kind === 'unavailable') return lookup;
  let answer = await requestApi(link, `CONSUMER.INFO.${stream}.${durable}`);
  if (answer.kind === 'error' && answer.errCode === CONSUMER_NOT_FOUND) {
    const body = {
      stream_name: stream,
      config: rawConsumerConfig({ ...definition, deliverPolicy: startOf(definition, lookup.state, last) }),
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
  const held = await streamAfter(link, info, lookup.state);
  return held.kind === 'found' ? judge(definition, info, { ...held.state, askedAtMs }) : held;
}

/** The stream asked before the durable was may have grown since, and what came been delivered. */
async function streamAfter(
  link: BrokerLink,
  { delivered }: RawConsumerInfo,
  before: StreamState,
): Promise<{ kind: 'found'; state: StreamState } | { kind: 'unavailable'; reason: string }> {
  if (delivered.stream_seq <= before.lastSequence) return { kind: 'found', state: before };
  const lookup = await lookUpStream(link, before.name);
  return lookup.kind === 'missing'
    ? { kind: 'unavailable', reason: `the stream '${before.name}' is gone` }
    : lookup;
}

/** What the durable has not delivered yet, and what of that is not acknowledged; undefined if it does not say. */
export async function backlogOf(
  link: BrokerLink,
  { stream, durable }: Pick<DurableDefinition, 'stream' | 'durable'>,
): Promise<{ readonly pending: number; readonly ackPending: number } | undefined> {
  const answer = await requestApi(link, `CONSUMER.INFO.${stream}.${durable}`, { timeoutMs: 1_000 });
  if (answer.kind !== 'answer' || !isObject(answer.body)) return undefined;
  const { num_pending: pending, num_ack_pending: ackPending } = answer.body;
  return isCount(pending) && isCount(ackPending) ? { pending, ackPending } : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** How much the durable has delivered so far, in its own count; undefined if it does not say. */
export async function deliveredCount(
  link: BrokerLink,
  { stream, durable }: Pick<DurableDefinition, 'stream' | 'durable'>,
): Promise<number | undefined> {
  const answer = await requestApi(link, `CONSUMER.INFO.${stream}.${durable}`, { timeoutMs: 1_000 });
  return answer.kind === 'answer' && isConsumerInfo(answer.body)
    ? answer.body.delivered.consumer_seq
    : undefined;
}

function isConsumerInfo(info: unknown): info is RawConsumerInfo {
  if (!isObject(info) || !isObject(info.config) || !isObject(info.ack_floor) || !isObject(info.delivered))
    return false;
  const { filter_subjects: filters, backoff } = info.config;
  const sequences = [
    info.ack_floor.consumer_seq,
    info.ack_floor.stream_seq,
    info.delivered.stream_seq,
    info.delivered.consumer_seq,
  ];
  if (typeof info.created !== 'string') return false;
  return sequences.every(Number.isSafeInteger) && [filters, backoff].every((list) => isListOrNone(list));
}

function isListOrNone(value: unknown): boolean {
  return value === undefined || Array.isArray(value);
}

function startOf(
  { deliverPolicy }: DurableDefinition,
  { created, lastSequence }: StreamState,
  last?: DurableProgress | DurableStart,
): DeliverPolicy {
  // As a number: of a durable that has had no ack yet, nothing else says where it began.
  if (last === undefined) return deliverPolicy === 'new' ? { fromSequence: lastSequence + 1 } : deliverPolicy;
  // One that named its place or time, or began with everything, does so again: the inbox knows what was done.
  if ('fromSequence' in last)
    return deliverPolicy === 'new' || deliverPolicy === 'last' || deliverPolicy === 'last-per-subject'
      ? { fromSequence: Math.min(last.fromSequence, lastSequence + 1) }
      : deliverPolicy;
  if (last.incarnation !== created) return 'all';
  return { fromSequence: Math.min(last.ackFloor, lastSequence) + 1 };
}

function refused({ stream, durable }: DurableDefinition, reason: string): DurableOutcome {
  const error = new PostcommitError(
    'stream-unsuitable',
    `the durable '${durable}' cannot be created on the stream '${stream}': ${reason}`,
    'Check that `subjects` are part of what the stream captures, and the limits of the stream and the account.',
  );
  return { kind: 'unsuitable', error };
}

function judge(
  definition: DurableDefinition,
  info: RawConsumerInfo,
  {
    created: incarnation,
    firstSequence,
    lastSequence,
    retention,
    askedAtMs,
  }: StreamState & Pick<DurableState, 'askedAtMs'>,
): DurableOutcome {
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
  const progress = { incarnation, ackFloor: floorOf(info) };
  const ackWaitMs = ackWaitOf(info.config);
  return {
    kind: 'ready',
    state: {
      progress,
      created: info.created,
      start: startIn(info.config),
      delivered: {
        streamSequence: info.delivered.stream_seq,
        consumerSequence: info.delivered.consumer_seq,
      },
      stream: { firstSequence, lastSequence, retention },
      config: info.config,
      askedAtMs,
      ackWaitMs,
      differences: differencesOf(definition, info.config),
    },
  };
}

function startIn({
  deliver_policy: policy,
  opt_start_seq: start,
}: RawConsumerInfo['config']): number | undefined {
  return policy === 'by_start_sequence' ? start : undefined;
}

/**
 * Everything up to here is done, or none of the durable's business. Until the first ack the server says 0, wherever the durable
 * began; where that is not known, only what is delivered from now on counts.
 */
function floorOf({ ack_floor: floor, delivered, config }: RawConsumerInfo): number {
  if (delivered.consumer_seq === 0) return delivered.stream_seq;
  if (floor.consumer_seq > 0) return floor.stream_seq;
  switch (config.deliver_policy ?? 'all') {
    case 'all':
      return floor.stream_seq;
    case 'by_start_sequence':
      return Math.max(floor.stream_seq, (config.opt_start_seq ?? 1) - 1);
    default:
      return delivered.stream_seq;
  }
}

function faultsOf({ subjects }: DurableDefinition, config: RawConsumerInfo['config']): string[] {
  const faults: string[] = [];
  if (config.deliver_subject) faults.push('it is a push consumer, and consume() pulls');
  if (config.ack_policy !== 'explicit') faults.push(`its ack policy is ${config.ack_policy}, not explicit`);
  if ((config.max_deliver ?? -1) > 0) {
    faults.push(`it gives up after ${config.max_deliver} deliveries (max_deliver), which would lose events`);
  }
  if (config.headers_only) faults.push('it delivers headers without payloads (headers_only)');
  const filters = filtersOf(config);
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
