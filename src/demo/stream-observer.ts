import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { MsgHdrs } from '@nats-io/transport-node';
import { type BrokerLink, connectBroker, HEADER, type NatsSettings } from '../jetstream/index.ts';
import { silentLogger } from '../telemetry/logger.ts';

/** Looks at the stream over a connection of its own, with the stock client: nobody here trusts the relay's word. */
export interface StreamObserver {
  /** The last sequence; 0 while there is no stream. */
  lastSequence(): Promise<number>;
  /** Reads everything, in order, through an ephemeral consumer: the event ids. */
  readAll(): Promise<string[]>;
  deleteDurable(name: string): Promise<void>;
  deleteStream(): Promise<void>;
  close(): Promise<void>;
}

export async function observeStream(nats: NatsSettings, stream: string): Promise<StreamObserver> {
  const link = await connectBroker({ ...nats, name: 'postcommit demo' }, { logger: silentLogger() });
  const { connection } = link;
  const manager = await jetstreamManager(connection, { checkAPI: false });
  return {
    async lastSequence() {
      const info = await manager.streams.info(stream).catch(() => undefined);
      return info?.state.last_seq ?? 0;
    },
    readAll: () => readAll(link, stream),
    async deleteDurable(name) {
      await manager.consumers.delete(stream, name);
    },
    async deleteStream() {
      await manager.streams.delete(stream);
    },
    close: () => link.close(),
  };
}

async function readAll({ connection }: BrokerLink, stream: string): Promise<string[]> {
  const consumer = await jetstream(connection).consumers.get(stream);
  const { num_pending: count } = await consumer.info();
  const ids: string[] = [];
  if (count === 0) return ids;
  const messages = await consumer.consume({ max_messages: 1_000 });
  for await (const message of messages) {
    ids.push(idOf(message.headers) ?? `message ${message.seq}`);
    if (message.info.pending === 0) break;
  }
  return ids;
}

/** A marker stands for an event that could not be stored: it is no event. */
function idOf(headers: MsgHdrs | undefined): string | undefined {
  return headers?.get(HEADER.eventId) || undefined;
}
