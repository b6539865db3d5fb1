import { DeliverPolicy, type JsMsg, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { Faults } from '../report/result.ts';

export interface StoredOptions {
  readonly stream: string;
  /** Numbers from 1 to this one are looked for. */
  readonly upTo: number;
  /** Whether a number belongs into this stream. Default: all do. */
  readonly belongs?: (number: number) => boolean;
  /** Default `Postcommit-Position`. */
  readonly header?: string;
  /** What is in order for itself, by the name of its order. Default: the whole stream. */
  readonly orderOf?: (message: JsMsg) => string;
  /** Called for each message in stream order, with the time of its storing by the server's clock. */
  readonly onMessage?: (number: number, atMs: number) => void;
}

/** Reads a stream back, message by message and without payloads: neither millions of messages nor large ones fill memory. */
export async function readStored(natsUrl: string, options: StoredOptions): Promise<Faults> {
  const { stream, header = 'Postcommit-Position', orderOf, onMessage } = options;
  const connection = await connect({ servers: natsUrl });
  try {
    const { state } = await (await jetstreamManager(connection)).streams.info(stream);
    const tally = createTally(options);
    if (state.messages === 0) return tally.faults();
    const consumer = await jetstream(connection).consumers.get(stream, {
      deliver_policy: DeliverPolicy.All,
      headers_only: true,
    });
    for await (const message of await consumer.consume({ max_messages: 5_000 })) {
      const number = Number(message.headers?.get(header));
      tally.add(number, orderOf?.(message) ?? '');
      onMessage?.(number, Number(message.timestampNanos) / 1e6);
      if (message.seq >= state.last_seq) break;
    }
    return tally.faults();
  } finally {
    await connection.close();
  }
}

/** A bit for each number: a set of millions would take longer than the bench. */
function createTally({ upTo, belongs = () => true }: StoredOptions) {
  const seen = new Uint8Array(upTo + 1);
  const last = new Map<string, number>();
  let [twice, disorder] = [0, 0];
  return {
    add(number: number, order: string): void {
      if (!(number >= 1 && number <= upTo)) throw new Error(`a message has the number ${number}`);
      if (seen[number] === 1) twice++;
      seen[number] = 1;
      if (number < (last.get(order) ?? 0)) disorder++;
      last.set(order, number);
    },
    faults(): Faults {
      let lost = 0;
      for (let number = 1; number <= upTo; number++) if (belongs(number) && seen[number] === 0) lost++;
      return { lost, twice, disorder };
    },
  };
}

/** Events a second, by the times of their storing in ascending order, without the first ones: something else was still warming up. */
export function rateOf(timesMs: readonly number[], { warmUp }: { warmUp: number }): number {
  const counted = timesMs.slice(warmUp);
  const [first, last] = [counted[0] ?? Number.NaN, counted.at(-1) ?? Number.NaN];
  return ((counted.length - 1) * 1_000) / (last - first);
}
