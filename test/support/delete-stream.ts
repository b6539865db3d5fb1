import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { natsUrl } from './services.ts';

/** Of the server of this run; one that is not there is deleted already. */
export async function deleteStream(name: string): Promise<void> {
  const connection = await connect({ servers: natsUrl() });
  const manager = await jetstreamManager(connection);
  await manager.streams.delete(name).catch(() => false);
  await connection.close();
}
