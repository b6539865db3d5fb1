import { serveConsumer } from '../consumer.ts';

await serveConsumer({ record: async () => true });
