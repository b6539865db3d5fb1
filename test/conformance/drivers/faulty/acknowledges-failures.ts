import { STEPS, serveConsumer } from '../consumer.ts';

// A failure is logged, and that is that.
await serveConsumer({ retryLater: (message) => STEPS.ack(message) });
