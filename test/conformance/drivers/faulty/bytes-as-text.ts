import { enqueue, serveWriter, writer } from '../writer.ts';

// Reads bytes as UTF-8 on their way.
await serveWriter((client) =>
  writer(client, {
    enqueue: (tx, { payloadBase64, ...event }) => {
      if (payloadBase64 === undefined) return enqueue(tx, event);
      const text = Buffer.from(payloadBase64, 'base64').toString();
      return enqueue(tx, { ...event, payloadBase64: Buffer.from(text).toString('base64') });
    },
  }),
);
