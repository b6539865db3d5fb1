import { serveConsumer } from '../consumer.ts';

// Whatever the database says of synchronous_commit.
await serveConsumer({ begin: async (client) => void (await client.query('BEGIN')) });
