import { enqueue, serveWriter, writer } from '../writer.ts';

// Lets the database choose, whatever id was asked for.
await serveWriter((client) =>
  writer(client, { enqueue: (tx, { eventId: _, ...event }) => enqueue(tx, event) }),
);
