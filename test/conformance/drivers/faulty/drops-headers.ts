import { enqueue, serveWriter, writer } from '../writer.ts';

await serveWriter((client) =>
  writer(client, { enqueue: (tx, { headers: _, ...event }) => enqueue(tx, event) }),
);
