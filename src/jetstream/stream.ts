import { type ApiAnswer, isObject, requestApi } from './api.ts';
import type { BrokerLink } from './connection.ts';
import { patternsCover } from './subjects.ts';

export interface StreamState {
  readonly name: string;
  /** The server's RFC 3339 text, to the nanosecond: tells this incarnation from one recreated under its name. */
  readonly created: string;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly messages: number;
  readonly subjects: readonly string[];
  /** Headers and payload together; -1 for no limit of the stream's own. */
  readonly maxMessageSize: number;
  readonly duplicateWindowMs: number;
  readonly noAck: boolean;
  readonly sealed: boolean;
  readonly retention: 'limits' | 'interest' | 'workqueue';
  readonly storage: 'file' | 'memory';
  readonly replicas: number;
  readonly discard: 'old' | 'new';
  /** Limits of the whole stream; -1 (0 for the age) for none. */
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly maxAgeMs: number;
  /** -1 for no limit. */
  readonly maxMessagesPerSubject: number;
  readonly bytes: number;
  /** When the last message was stored; absent while there has been none. */
  readonly lastAtMs?: number;
  readonly mirror: boolean;
  readonly sources: boolean;
}

export type StreamLookup =
  | { readonly kind: 'found'; readonly state: StreamState }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unavailable'; readonly reason: string };

/** `refused`: the server will never create it like this, a person has to change something. */
export type StreamCreation = StreamLookup | { readonly kind: 'refused'; readonly reason: string };

export interface StreamDefinition {
  readonly name: string;
  readonly subjects: readonly string[];
  /** Default 1. */
  readonly replicas?: number;
  /** Default `file`. */
  readonly storage?: 'file' | 'memory';
  /** Default `limits`. */
  readonly retention?: 'limits' | 'interest' | 'workqueue';
  /** What a full stream does. Default `new`: it refuses and the relay waits, where `old` would drop events. */
  readonly discard?: 'old' | 'new';
  readonly maxMessages?: number;
  readonly maxBytes?: number;
  readonly maxAgeMs?: number;
  readonly maxMessageSize?: number;
  /** Of each subject the newest so many. Default: all. */
  readonly maxMessagesPerSubject?: number;
  /**
   * How long the server remembers message ids, at about 350 bytes each. Default 30,000: `stream` ordering needs
   * none, `key` ordering repeats a publish within half of it, and that must be longer than an ack timeout.
   */
  readonly duplicateWindowMs?: number;
}

const STREAM_NOT_FOUND = 10059;
const NO_SUITABLE_PEERS = 10005;
const NANOS_PER_MS = 1_000_000;

interface RawStreamInfo {
  readonly created: string;
  readonly config: {
    readonly name: string;
    readonly subjects?: readonly string[];
    readonly max_msg_size?: number;
    readonly max_msgs?: number;
    readonly max_msgs_per_subject?: number;
    readonly max_bytes?: number;
    readonly max_age?: number;
    readonly duplicate_window?: number;
    readonly no_ack?: boolean;
    readonly sealed?: boolean;
    readonly retention: StreamState['retention'];
    readonly storage: StreamState['storage'];
    readonly num_replicas?: number;
    readonly discard?: StreamState['discard'];
    readonly mirror?: object | null;
    readonly sources?: readonly object[];
  };
  readonly state: {
    readonly messages: number;
    readonly bytes: number;
    readonly first_seq: number;
    readonly last_seq: number;
    readonly last_ts?: string;
  };
  /** Absent on a server that is alone, before 2.10. */
  readonly cluster?: { readonly leader?: string } | null;
}

/** Asks for a stream as it is now. `unavailable` is an outage or an election and says nothing about the stream. */
export async function lookUpStream(
  link: BrokerLink,
  name: string,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<StreamLookup> {
  return readLookup(await requestApi(link, `STREAM.INFO.${name}`, { signal }), name);
}

/**
 * Creates the stream, or finds the one that is there, whatever its configuration: safe when several relays start
 * at once. Check the result with `unfitness()`.
 */
export async function createStream(link: BrokerLink, definition: StreamDefinition): Promise<StreamCreation> {
  const { name } = definition;
  const answer = await requestApi(link, `STREAM.CREATE.${name}`, { body: rawConfig(definition) });
  if (answer.kind !== 'error') return readLookup(answer, name);
  const present = await lookUpStream(link, name);
  if (present.kind !== 'missing') return present;
  // 4xx is about this request, for instance another stream that takes these subjects already; 5xx about the server. Too
  // few servers for the replicas may be a cluster that is just starting.
  const refused = answer.code >= 400 && answer.code < 500 && answer.errCode !== NO_SUITABLE_PEERS;
  const kind = refused ? 'refused' : 'unavailable';
  return {
    kind,
    reason: `the stream '${name}' for ${list(definition.subjects)} cannot be created: ${answer.reason}`,
  };
}

/** With all that is in it. Returns why it may still be there; undefined once it is not. */
export async function deleteStream(link: BrokerLink, name: string): Promise<string | undefined> {
  const answer = await requestApi(link, `STREAM.DELETE.${name}`);
  if (answer.kind === 'answer') return undefined;
  return answer.kind === 'error' && answer.errCode === STREAM_NOT_FOUND ? undefined : answer.reason;
}

function rawConfig(definition: StreamDefinition): object {
  const { maxAgeMs = 0, duplicateWindowMs = 30_000 } = definition;
  // The server refuses a window that is longer than the messages live.
  const windowMs = maxAgeMs > 0 ? Math.min(duplicateWindowMs, maxAgeMs) : duplicateWindowMs;
  return {
    name: definition.name,
    subjects: definition.subjects,
    num_replicas: definition.replicas ?? 1,
    storage: definition.storage ?? 'file',
    retention: definition.retention ?? 'limits',
    discard: definition.discard ?? 'new',
    max_msgs: definition.maxMessages ?? -1,
    max_bytes: definition.maxBytes ?? -1,
    max_age: maxAgeMs * NANOS_PER_MS,
    max_msg_size: definition.maxMessageSize ?? -1,
    max_msgs_per_subject: definition.maxMessagesPerSubject ?? -1,
    max_consumers: -1,
    duplicate_window: windowMs * NANOS_PER_MS,
  };
}

function readLookup(answer: ApiAnswer, name: string): StreamLookup {
  if (answer.kind === 'unavailable') return answer;
  if (answer.kind === 'error')
    return answer.errCode === STREAM_NOT_FOUND
      ? { kind: 'missing' }
      : { kind: 'unavailable', reason: `the stream '${name}' cannot be looked up: ${answer.reason}` };
  const info: unknown = answer.body;
  if (!isStreamInfo(info, name))
    return {
      kind: 'unavailable',
      reason: `JetStream's answer about the stream '${name}' is incomplete, or of no known form`,
    };
  // While there is no leader some follower answers in the end, and its last sequence may lag behind what was acknowledged.
  if (info.cluster != null && !info.cluster.leader)
    return {
      kind: 'unavailable',
      reason: `the stream '${name}' has no leader at present: one is being elected, or too few of its servers run`,
    };
  return { kind: 'found', state: stateOf(info) };
}

/** Plans are built on these numbers: one of another type would end in the batch log, which keeps it. */
function isStreamInfo(info: unknown, name: string): info is RawStreamInfo {
  if (!isObject(info) || !isObject(info.config) || !isObject(info.state)) return false;
  const { created, config, state } = info;
  return (
    typeof created === 'string' &&
    !Number.isNaN(Date.parse(created)) &&
    config.name === name &&
    [config.retention, config.storage].every((word) => typeof word === 'string') &&
    isListOr(config.subjects, (subject) => typeof subject === 'string') &&
    isListOr(config.sources, isObject) &&
    (config.mirror == null || isObject(config.mirror)) &&
    LIMITS.every((limit) => config[limit] === undefined || Number.isFinite(config[limit])) &&
    [state.first_seq, state.last_seq, state.messages].every(isCount) &&
    Number.isFinite(state.bytes)
  );
}

const LIMITS = [
  'max_msg_size',
  'max_msgs',
  'max_msgs_per_subject',
  'max_bytes',
  'max_age',
  'duplicate_window',
  'num_replicas',
];

function isListOr(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return value == null || (Array.isArray(value) && value.every(isItem));
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function stateOf({ created, config, state }: RawStreamInfo): StreamState {
  return {
    name: config.name,
    created,
    firstSequence: state.first_seq,
    lastSequence: state.last_seq,
    messages: state.messages,
    subjects: config.subjects ?? [],
    maxMessageSize: config.max_msg_size ?? -1,
    duplicateWindowMs: (config.duplicate_window ?? 0) / NANOS_PER_MS,
    noAck: config.no_ack === true,
    sealed: config.sealed === true,
    retention: config.retention,
    storage: config.storage,
    replicas: config.num_replicas ?? 1,
    discard: config.discard ?? 'old',
    maxMessages: config.max_msgs ?? -1,
    maxMessagesPerSubject: config.max_msgs_per_subject ?? -1,
    maxBytes: config.max_bytes ?? -1,
    maxAgeMs: (config.max_age ?? 0) / NANOS_PER_MS,
    bytes: state.bytes,
    ...lastAt(state),
    mirror: config.mirror != null,
    sources: (config.sources?.length ?? 0) > 0,
  };
}

/** Of a stream that never had a message the server says the year 1. */
function lastAt({ last_ts: text }: RawStreamInfo['state']): { lastAtMs?: number } {
  const lastAtMs = Date.parse(text ?? '');
  return lastAtMs > 0 ? { lastAtMs } : {};
}

/** What makes a stream unfit for a lane. */
export interface Unfitness {
  readonly kind: 'mirror' | 'sealed' | 'no-ack' | 'sources' | 'subjects';
  readonly fault: string;
  readonly fix: string;
}

/**
 * What makes this stream unfit to take the lane's subjects, each with its fix; empty when it is fit. `ordering`
 * is the lane's, by default `stream`, which needs the stream for itself.
 */
export function unfitness(
  state: StreamState,
  subjects: readonly string[],
  options: { ordering?: 'stream' | 'key' | 'none' } = {},
): string[] {
  return unfitnessesOf(state, subjects, options).map(({ fault, fix }) => `${fault}: ${fix}`);
}

/** As `unfitness`, one by one. */
export function unfitnessesOf(
  state: StreamState,
  subjects: readonly string[],
  { ordering = 'stream' }: { ordering?: 'stream' | 'key' | 'none' } = {},
): Unfitness[] {
  const { name } = state;
  if (state.mirror)
    return [
      {
        kind: 'mirror',
        fault: `stream '${name}' is a mirror and takes no messages`,
        fix: 'name the stream that it mirrors',
      },
    ];
  const faults: Unfitness[] = [];
  if (state.sealed)
    faults.push({
      kind: 'sealed',
      fault: `stream '${name}' is sealed and takes no messages`,
      fix: 'use another stream, a seal stays for good',
    });
  if (state.noAck)
    faults.push({
      kind: 'no-ack',
      fault: `stream '${name}' has no_ack and confirms nothing`,
      fix: `nats stream edit ${name} --ack`,
    });
  if (state.sources && ordering === 'stream')
    faults.push({
      kind: 'sources',
      fault: `stream '${name}' has sources, whose messages take the places of events`,
      fix: "use a stream of its own, or 'key' ordering",
    });
  const uncovered = subjects.filter((subject) => !patternsCover(state.subjects, subject));
  if (uncovered.length > 0)
    faults.push({
      kind: 'subjects',
      fault: `stream '${name}' captures ${list(state.subjects)}, not ${list(uncovered)}`,
      fix: `add to it with nats stream edit ${name} --subjects, or change POSTCOMMIT_SUBJECTS`,
    });
  return faults;
}

function list(subjects: readonly string[]): string {
  return subjects.length === 0 ? 'no subjects' : subjects.map((subject) => `'${subject}'`).join(', ');
}
