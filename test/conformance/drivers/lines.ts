import { createInterface } from 'node:readline';

/** One request of the script, as docs/protocol.md names them. */
export type Handlers = Readonly<Record<string, (request: never) => Promise<object | undefined>>>;

/** Answers the requests on standard input, one line each, until it ends. */
export async function serve(handlers: Handlers): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as { readonly do: string };
    process.stdout.write(`${JSON.stringify(await answer(handlers, request))}\n`);
  }
}

async function answer(handlers: Handlers, request: { readonly do: string }): Promise<object> {
  const handle = handlers[request.do];
  if (handle === undefined) return { ok: false, unsupported: true };
  try {
    return { ok: true, ...(await handle(request as never)) };
  } catch (thrown) {
    const { message, code, hint } = thrown as Error & { readonly code?: string; readonly hint?: string };
    return { ok: false, error: { message, sqlstate: code, hint } };
  }
}
