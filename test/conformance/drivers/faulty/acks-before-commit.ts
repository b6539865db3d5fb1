import { STEPS, serveConsumer } from '../consumer.ts';

await serveConsumer({
  async commit(work) {
    STEPS.ack(work.message);
    await STEPS.commit(work);
  },
});
