import { enqueue, openClient, serveWriter, writer } from '../writer.ts';

// Enqueues on a connection of its own, where no rollback reaches.
const other = await openClient();
await serveWriter((client) => writer(client, { enqueue: (_, event) => enqueue(other, event) }));
await other.end();
