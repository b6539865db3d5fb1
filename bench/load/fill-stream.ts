import { jetstream } from '@nats-io/jetstream';
import { headers as createHeaders } from '@nats-io/nats-core';
import { connect } from '@nats-io/transport-node';
import { createStream } from '../servers/site.ts';

const KEYS = 100;
const PAYLOAD_BYTES = 256;
const IN_FLIGHT = 1_000;

/** A new stream with events as a relay would have left them, numbered from 1 on in their payloads, of 100 keys in turn. */
export async function fillStream(natsUrl: string, stream: string, count: number): Promise<void> {
  await createStream(natsUrl, stream);
  const connection = await connect({ servers: natsUrl, noAsyncTraces: true });
  const client = jetstream(connection);
  const filler = 'x'.repeat(PAYLOAD_BYTES - 24);
  let next = 1;
  const publish = async () => {
    while (next <= count) {
      const n = next++;
      const id = `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
      const headers = createHeaders();
      headers.set('Postcommit-Event-Id', id);
      headers.set('Postcommit-Key', `order-${n % KEYS}`);
      await client.publish(`${stream}.bench`, JSON.stringify({ n, filler }), { msgID: id, headers });
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, publish));
  await connection.close();
}
