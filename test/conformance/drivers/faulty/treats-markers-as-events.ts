import { serveConsumer } from '../consumer.ts';

await serveConsumer({ isMarker: () => false });
