import { serveConsumer } from '../consumer.ts';

// Records without stream and sequence, which an inbox that is pruned needs.
await serveConsumer({
  async record({ client, consumer, id }) {
    const text = 'SELECT postcommit.inbox_record($1, $2) AS fresh';
    const { rows } = await client.query<{ fresh: boolean }>(text, [consumer, id]);
    return rows[0]?.fresh === true;
  },
});
