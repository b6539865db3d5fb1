import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { messageOf, PostcommitError } from '../errors.ts';
import type { HttpAddress } from './values.ts';

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** By path; called for GET and HEAD. */
export type Routes = Readonly<Record<string, () => Answer | Promise<Answer>>>;

export interface HttpServer {
  /** With the port that was chosen if 0 was asked for, for instance `http://127.0.0.1:9465`. */
  readonly url: string;
  close(): Promise<void>;
}

/** Nothing here is meant for a browser to run, frame, sniff or keep. */
const STRICT_HEADERS = {
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
};

/** @throws PostcommitError `config-invalid` when the address cannot be listened on. */
export async function startHttpServer(address: HttpAddress, routes: Routes): Promise<HttpServer> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) => {
    void respond(request, response, routes);
  });
  await listen(server, address);
  // Serving is a side task: it never keeps a relay from ending.
  server.unref();
  return {
    url: `http://${formatHost(address.host)}:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

export function json(status: number, content: unknown): Answer {
  return { status, contentType: 'application/json; charset=utf-8', body: `${JSON.stringify(content)}\n` };
}

export function text(status: number, body: string): Answer {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}

async function respond(request: IncomingMessage, response: ServerResponse, routes: Routes): Promise<void> {
  const { status, contentType, body } = await answerTo(request, routes);
  response.writeHead(status, {
    ...STRICT_HEADERS,
    ...(status === 405 ? { Allow: 'GET, HEAD' } : {}),
    'Content-Type': contentType,
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

async function answerTo(request: IncomingMessage, routes: Routes): Promise<Answer> {
  const path = request.url?.split('?', 1)[0] ?? '/';
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (route === undefined)
    return json(404, { error: 'there is nothing at this path', paths: Object.keys(routes) });
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return json(405, { error: `${request.method} is not allowed here`, allowed: ['GET', 'HEAD'] });
  try {
    return await route();
  } catch (error) {
    return json(500, { error: messageOf(error) });
  }
}

function listen(server: Server, { host, port }: HttpAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(notListening(error, { host, port })));
    server.listen({ host, port }, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

function notListening(error: NodeJS.ErrnoException, { host, port }: HttpAddress): PostcommitError {
  const why: Readonly<Record<string, string>> = {
    EADDRINUSE: 'another process uses this port',
    EADDRNOTAVAIL: 'this machine has no such address',
    ENOTFOUND: 'this host name is not known',
    EACCES: 'permission denied',
  };
  return new PostcommitError(
    'config-invalid',
    `cannot serve HTTP on ${formatHost(host)}:${port}: ${why[error.code ?? ''] ?? error.message}`,
    'Set POSTCOMMIT_HTTP to another host:port, to port 0 for any free one, or to off.',
    { cause: error },
  );
}

function formatHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
