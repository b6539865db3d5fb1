/**
 * npm's `pg-transactional-outbox` 0.5.7 with its polling listener, publishing to JetStream: the process behind
 * `load/pg-transactional-outbox.ts`. Of throughput its README says to delete what was sent; the rest is what was fastest
 * here. It takes a transaction for each message.
 */
import { jetstream } from '@nats-io/jetstream';
import { headers as createHeaders } from '@nats-io/nats-core';
import { connect } from '@nats-io/transport-node';
import type pg from 'pg';
import { getDisabledLogger, initializePollingMessageListener } from 'pg-transactional-outbox';

/** Its default is 5, with which it took 950 events/s; 1,700 with 20, 2,200 with 100, and no more with 300. */
const BATCH = 100;
/** Its default is 10: 1,900 events/s. With 20 it took 2,200, and with 30 no more. */
const CONNECTIONS = 20;

const { DATABASE_URL = '', NATS_URL = '' } = process.env;
const database: pg.PoolConfig = { connectionString: DATABASE_URL, max: CONNECTIONS };
// The client captures a stack trace for each request unless it is told not to: few know, and it is told for fairness.
const connection = await connect({ servers: NATS_URL, noAsyncTraces: true });
const client = jetstream(connection);

const [shutdown] = initializePollingMessageListener(
  {
    outboxOrInbox: 'outbox',
    dbListenerConfig: database,
    settings: {
      dbSchema: 'public',
      dbTable: 'outbox',
      enableMaxAttemptsProtection: false,
      enablePoisonousMessageProtection: false,
      nextMessagesFunctionName: 'next_outbox_messages',
      nextMessagesBatchSize: BATCH,
      nextMessagesPollingIntervalInMs: 100,
      messageCleanupIntervalInMs: 1_000,
      messageCleanupProcessedInSec: 1,
    },
  },
  {
    async handle({ id, aggregateId, metadata, payload }) {
      const headers = createHeaders();
      headers.set('Bench-Number', aggregateId);
      await client.publish(String(metadata?.subject), JSON.stringify(payload), { msgID: id, headers });
    },
  },
  getDisabledLogger(),
  // Otherwise it asks for a single message as often as a batch is large, to begin with.
  { batchSizeStrategy: () => Promise.resolve(BATCH) },
);

async function stop(): Promise<void> {
  await shutdown();
  await connection.close();
  // Its loop polls on in a pool that has ended, and logs the error nowhere.
  process.exit(0);
}

process.once('SIGTERM', () => {
  stop().catch(() => process.exit(1));
});
process.stdout.write('ready\n');
