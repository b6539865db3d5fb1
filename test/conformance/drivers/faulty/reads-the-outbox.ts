import { STEPS, serveConsumer } from '../consumer.ts';

// Looks where a consumer has no business, and perhaps another database's tables are.
await serveConsumer({
  async begin(client) {
    await STEPS.begin(client);
    await client.query('SELECT count(*) FROM postcommit.outbox');
  },
});
