import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { natsUrl } from '../support/services.ts';

/** Of the run's server, where others work as well. */
export async function deleteStream(name: string): Promise<void> {
  const connection = await connect({ servers: natsUrl().split(',') });
  const manager = await jetstreamManager(connection);
  await manager.streams.delete(name).catch(() => undefined);
  await connection.close();
}
