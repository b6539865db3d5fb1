import { enqueue } from '../../../src/index.ts';
import { serveWriter, writer } from '../drivers/writer.ts';

// What this package writes with, held against the page as any other client.
await serveWriter((client) => {
  const handlers = writer(client, {
    enqueue: (tx, { payloadBase64, payload, ...event }) =>
      enqueue(tx, {
        ...event,
        payload: payloadBase64 === undefined ? payload : Buffer.from(payloadBase64, 'base64'),
      }),
  });
  return Object.fromEntries(
    Object.entries(handlers).map(([name, handle]) => [
      name,
      (request: never) =>
        (handle as (request: never) => Promise<object | undefined>)(request).catch((error: unknown) => {
          throw asDrivers(error);
        }),
    ]),
  );
});

/** The server's state, where it was the server that refused. */
function asDrivers(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { hint, cause } = error as Error & { readonly hint?: string };
  const code = (cause as { readonly code?: string } | undefined)?.code;
  return Object.assign(new Error(error.message), { code, hint });
}
