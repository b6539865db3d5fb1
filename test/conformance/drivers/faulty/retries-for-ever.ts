import { serveConsumer } from '../consumer.ts';

await serveConsumer({ isHopeless: () => false });
