import { STEPS, serveConsumer } from '../consumer.ts';

// Hands a message back, and takes the next one of its key.
await serveConsumer({ durable: (wanted) => ({ ...STEPS.durable(wanted), max_ack_pending: 100 }) });
