import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { StartConsuming } from './consumer-child.ts';

/**
 * As one is written by hand with the stock client: `consume()` fetches ahead, each message is one transaction with its row
 * in an inbox, and is acknowledged after the commit. In order as long as nothing fails and it is the only instance: there
 * is no lease, no retry, no dead letter.
 */
export const consumeStock: StartConsuming = async ({ task, pool, onEvent }) => {
  const connection = await connect({ servers: task.natsUrl });
  const manager = await jetstreamManager(connection);
  await manager.consumers.add(task.stream, {
    durable_name: task.durable,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: task.from === 'all' ? DeliverPolicy.All : DeliverPolicy.New,
  });
  const consumer = await jetstream(connection).consumers.get(task.stream, task.durable);
  const messages = await consumer.consume({ max_messages: 500 });
  let stopped = false;
  const loop = async () => {
    for await (const message of messages) {
      if (stopped) break;
      const id = message.headers?.get('Nats-Msg-Id') ?? '';
      const key = message.headers?.get('Postcommit-Key') ?? null;
      onEvent(message.data);
      const client = await pool.connect();
      try {
        await client.query('begin');
        const { rowCount } = await client.query(
          'insert into baseline_inbox (consumer, event_id) values ($1, $2) on conflict do nothing',
          [task.durable, id],
        );
        if (rowCount === 1)
          await client.query('insert into effects (event_id, key, sequence) values ($1, $2, $3)', [
            id,
            key,
            message.seq,
          ]);
        await client.query('commit');
      } finally {
        client.release();
      }
      message.ack();
    }
  };
  const looping = loop();
  looping.catch(() => undefined); // Thrown by stop().
  return {
    async stop() {
      stopped = true;
      await messages.close();
      await looping;
      await connection.drain();
    },
  };
};
