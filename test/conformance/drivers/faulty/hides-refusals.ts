import { enqueue, serveWriter, writer } from '../writer.ts';

// Takes an error for something to be quiet about.
await serveWriter((client) =>
  writer(client, { enqueue: (tx, event) => enqueue(tx, event).catch(() => 'no matter') }),
);
