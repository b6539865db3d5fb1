import { serveConsumer } from '../consumer.ts';

await serveConsumer({ working: () => undefined });
