import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { visitStream } from './stream-facts.ts';

/** One message of a bench, whose payload is JSON with its number as `n`. */
export interface Stored {
  readonly number: number;
  /** By the server's clock: microseconds since 1970. */
  readonly atMicros: number;
}

export async function lastSequence(natsUrl: string, stream: string): Promise<number> {
  const connection = await connect({ servers: natsUrl });
  const { state } = await (await jetstreamManager(connection)).streams.info(stream);
  await connection.close();
  return state.last_seq;
}

/** Of all messages behind this sequence, in stream order. */
export async function storedAfter(
  natsUrl: string,
  { stream, sequence }: { readonly stream: string; readonly sequence: number },
): Promise<Stored[]> {
  const stored: Stored[] = [];
  await visitStream(natsUrl, { stream, afterSequence: sequence }, (message) => {
    stored.push({
      number: message.json<{ n: number }>().n,
      atMicros: Number(message.timestampNanos / 1_000n),
    });
  });
  return stored;
}
