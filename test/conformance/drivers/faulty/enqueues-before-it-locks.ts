import { type Change, enqueue, lockAndChange, serveWriter, writer } from '../writer.ts';

// Draws the position before it waits for the aggregate.
await serveWriter((client) => ({
  ...writer(client),
  async change(change: Change) {
    const id = await enqueue(client, change.event);
    await lockAndChange(client, change);
    return { id };
  },
}));
