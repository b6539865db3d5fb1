import {
  AckPolicy,
  DeliverPolicy,
  type JsMsg,
  jetstream,
  jetstreamManager,
  ReplayPolicy,
  type StreamState,
} from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';

export interface StreamSpan {
  readonly count: number;
  /** From the first to the last message, by the server's own clock. */
  readonly seconds: number;
}

export interface StreamFacts extends StreamSpan {
  /** The `Postcommit-Position` (or `Bench-Number`) of each message, in stream order. */
  readonly numbers: readonly number[];
}

/** Reads a whole stream back. */
export async function readStream(natsUrl: string, stream: string, header: string): Promise<StreamFacts> {
  const numbers: number[] = [];
  const span = await visitStream(natsUrl, { stream, headersOnly: true }, ({ headers }) => {
    numbers.push(Number(headers?.get(header)));
  });
  return { ...span, numbers };
}

export interface Visit {
  readonly stream: string;
  /** Default 0. */
  readonly afterSequence?: number;
  /** Payloads stay where they are. Default false. */
  readonly headersOnly?: boolean;
}

/** Calls `onMessage` for what the stream holds now, or holds behind a sequence, in its order. Returns how much it is in all. */
export async function visitStream(
  natsUrl: string,
  { stream, afterSequence = 0, headersOnly = false }: Visit,
  onMessage: (message: JsMsg) => void,
): Promise<StreamSpan> {
  const connection = await connect({ servers: natsUrl });
  try {
    const manager = await jetstreamManager(connection);
    const { state } = await manager.streams.info(stream);
    if (state.last_seq <= afterSequence) return spanOf(state);
    const consumer = await jetstream(connection).consumers.get(stream, {
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: afterSequence + 1,
      replay_policy: ReplayPolicy.Instant,
      ackPolicy: AckPolicy.None,
      headers_only: headersOnly,
    } as object);
    const messages = await consumer.consume({ max_messages: 5_000 });
    for await (const message of messages) {
      onMessage(message);
      if (message.seq >= state.last_seq) break;
    }
    return spanOf(state);
  } finally {
    await connection.close();
  }
}

function spanOf({ messages, first_ts, last_ts }: StreamState): StreamSpan {
  const seconds = messages === 0 ? 0 : (Date.parse(last_ts) - Date.parse(first_ts)) / 1_000;
  return { count: messages, seconds };
}

/** Waits until a stream holds this many messages. */
export async function waitForMessages(
  natsUrl: string,
  { stream, count, timeoutMs }: { stream: string; count: number; timeoutMs: number },
): Promise<void> {
  const connection = await connect({ servers: natsUrl });
  try {
    const manager = await jetstreamManager(connection);
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const messages = await manager.streams.info(stream).then(
        ({ state }) => state.messages,
        () => 0,
      );
      if (messages >= count) return;
      if (performance.now() > deadline)
        throw new Error(`stream ${stream} has ${messages} of ${count} messages`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  } finally {
    await connection.close();
  }
}

export function countFaults(numbers: readonly number[], expected: readonly number[]) {
  const seen = new Set(numbers);
  let disorder = 0;
  for (let i = 1; i < numbers.length; i++)
    if ((numbers[i] as number) < (numbers[i - 1] as number)) disorder++;
  return {
    lost: expected.filter((number) => !seen.has(number)).length,
    twice: numbers.length - seen.size,
    disorder,
  };
}
