/** What became of one publish. `reason` is for a person: what the server said, with its error code. */
export type Outcome =
  | { readonly kind: 'stored'; readonly sequence: number }
  /** The server says it has this message id. Settles nothing: some servers say so of messages never stored. */
  | { readonly kind: 'duplicate'; readonly sequence: number }
  /** Stored or not, nobody knows: look into the stream. */
  | { readonly kind: 'ambiguous'; readonly reason: string }
  /** Nobody takes messages at present. Not the event's fault: pause. */
  | { readonly kind: 'unavailable'; readonly reason: string }
  /** The stream or the server is full. Not the event's fault: pause. */
  | { readonly kind: 'saturated'; readonly reason: string }
  /** No lane takes it. The relay's verdict; the broker never gives it. */
  | { readonly kind: 'misrouted'; readonly reason: string }
  /** This very message can never be stored. */
  | { readonly kind: 'refused'; readonly reason: string };

export type Failure = Exclude<Outcome, { kind: 'stored' }>;

export interface Reply {
  readonly data: Uint8Array;
  /** Status of the reply's header line (`NATS/1.0 503`); 0 where it has none. */
  readonly status?: number;
}

interface PubAck {
  readonly stream?: unknown;
  readonly seq?: unknown;
  readonly duplicate?: unknown;
  readonly error?: { readonly code?: number; readonly err_code?: number; readonly description?: string };
}

/** Judges any answer to a publish into `stream`. */
export function classifyReply(reply: Reply, stream: string): Outcome {
  if (reply.status === 503 && reply.data.length === 0) {
    return {
      kind: 'unavailable',
      reason:
        'no stream took the message (503 no responders): none covers its subject, JetStream is off, or a leader is being elected',
    };
  }
  const answer = parse(reply.data);
  if (answer?.error) return classifyError(answer.error);
  if (reply.status === 429) return { kind: 'saturated', reason: 'too many requests (429)' };
  if ((reply.status ?? 0) >= 400)
    return { kind: 'unavailable', reason: `the server answered with status ${reply.status}` };
  if (answer === undefined)
    return {
      kind: 'ambiguous',
      reason: 'the answer is no acknowledgement (does another program reply here?)',
    };
  return classifyAck(answer, stream);
}

function classifyAck(ack: PubAck, stream: string): Outcome {
  if (ack.stream !== stream)
    return {
      kind: 'ambiguous',
      reason: `acknowledged by the stream ${JSON.stringify(ack.stream)}, not '${stream}'`,
    };
  const sequence = ack.seq;
  if (typeof sequence !== 'number' || !Number.isSafeInteger(sequence))
    return { kind: 'ambiguous', reason: 'acknowledged without a sequence' };
  if (ack.duplicate === true) return { kind: 'duplicate', sequence };
  if (sequence <= 0) return { kind: 'ambiguous', reason: `acknowledged with the sequence ${sequence}` };
  return { kind: 'stored', sequence };
}

/** Something else holds the slot or the id; whether it is ours, only the stream can tell. */
const AMBIGUOUS = new Set([
  10063, // expected stream sequence does not match
  10070, // wrong last message id
  10071, // wrong last sequence
  10158, // duplicate message id is in process
  10164, // wrong last sequence (unknown)
]);

const SATURATED = new Set([
  10002, // resource limits exceeded for account
  10023, // insufficient resources
  10028, // insufficient memory resources available
  10047, // insufficient storage resources available
  10053, // general stream limits exceeded
  10122, // stream max bytes exceeds account limit
  10167, // too many requests
  10210, // too many atomic batches in flight
  10211, // too many batches in flight
]);

/** About this very message: its size or its own headers. */
const REFUSED = new Set([
  10054, // message size exceeds maximum allowed
  10097, // header size exceeds maximum allowed of 64k
  10111, // rollup failed
  10165, // invalid per-message TTL
  10166, // per-message TTL is disabled
  10168, // message counters is disabled
  10170, // message counter has payload
  10171, // message counter increment is invalid
  10174, // atomic publish is disabled
  10175, // atomic publish sequence is missing
  10179, // atomic publish batch ID is invalid
  10188, // message schedules is disabled
  10189, // message schedules pattern is invalid
  10190, // message schedules target is invalid
  10191, // message schedules invalid per-message TTL
  10192, // message schedules invalid rollup
  10203, // message schedules source is invalid
  10205, // batch publish is disabled
  10212, // message schedules invalid scheduler
  10223, // message schedules time zone is invalid
  10227, // message stream source header is not allowed
]);

const STORE_FAILED = 10077;

function classifyError(error: NonNullable<PubAck['error']>): Outcome {
  const errCode = error.err_code ?? 0;
  const description = String(error.description ?? 'no description');
  const reason = `${description} (${error.code ?? '?'}/${errCode})`;
  if (errCode === STORE_FAILED) return { kind: classifyStoreFailure(description), reason };
  if (AMBIGUOUS.has(errCode)) return { kind: 'ambiguous', reason };
  if (SATURATED.has(errCode) || error.code === 429) return { kind: 'saturated', reason };
  if (REFUSED.has(errCode)) return { kind: 'refused', reason };
  // Sealed, offline, no leader, wrong stream, or a code of a later server: a pause, never poison.
  return { kind: 'unavailable', reason };
}

/** One code for all that the store may say; only its text tells a full stream from a broken disk. */
function classifyStoreFailure(description: string): 'saturated' | 'refused' | 'unavailable' {
  if (/^maximum (messages|bytes)|no space left|resources/i.test(description)) return 'saturated';
  if (/message too large/i.test(description)) return 'refused';
  return 'unavailable';
}

function parse(data: Uint8Array): PubAck | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString());
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads the sequence out of `{"stream":"NAME", "seq":N}`, byte for byte what servers answer to almost every
 * publish, without parsing. 0 for anything else, which is then for `classifyReply()`.
 */
export function createAckScanner(stream: string): (data: Uint8Array) => number {
  // Servers write the text by hand with a blank; a JSON encoder between (or a later server) would write none.
  const heads = [', ', ','].map((comma) => Buffer.from(`{"stream":${JSON.stringify(stream)}${comma}"seq":`));
  return (data) => {
    for (const head of heads) {
      const sequence = digitsAfter(head, data);
      if (sequence > 0) return sequence;
    }
    return 0;
  };
}

const [ZERO, NINE, CLOSING_BRACE] = [0x30, 0x39, 0x7d];

function digitsAfter(head: Uint8Array, data: Uint8Array): number {
  const last = data.length - 1;
  // Fifteen digits are exact in a double; a stream that is further than that is parsed.
  if (last <= head.length || last > head.length + 15 || data[last] !== CLOSING_BRACE) return 0;
  for (let i = head.length - 1; i >= 0; i--) if (data[i] !== head[i]) return 0;
  let sequence = 0;
  for (let i = head.length; i < last; i++) {
    const byte = data[i] as number;
    if (byte < ZERO || byte > NINE) return 0;
    sequence = sequence * 10 + (byte - ZERO);
  }
  return sequence;
}
