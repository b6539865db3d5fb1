import pg from 'pg';
import { consume } from '../../src/consumer/index.ts';

// A consumer in a process of its own. It tells its parent when the handler's transaction has committed and then
// does nothing more: the parent kills it before the ack.
const [nats = '', stream = '', durable = '', url = ''] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: url });
pool.on('release', (_, client) => {
  if (!committed(client)) return;
  process.send?.('committed');
  // Synchronously, so that the ack cannot leave the process.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});

const handled = new WeakSet<object>();
function committed(client: object): boolean {
  return handled.has(client);
}

await consume({ nats, stream, durable, db: pool, ackWaitMs: 500 }, async (event, { tx }) => {
  await tx.query('INSERT INTO effects (event_id) VALUES ($1)', [event.id]);
  handled.add(tx);
});
