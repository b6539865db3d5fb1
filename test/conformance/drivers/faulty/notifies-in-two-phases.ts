import { serveWriter, writer } from '../writer.ts';

// Prepares transactions that have notified.
await serveWriter((client) => ({ ...writer(client), begin: () => writer(client).begin({}) }));
