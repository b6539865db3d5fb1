import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { messageOf, PostcommitError } from '../errors.ts';
import type { HttpAddress } from './values.ts';

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** Besides the strict ones, or instead of them. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Asked {
  readonly query: URLSearchParams;
  /** By its name in lower case; null if it is absent. */
  readonly header: (name: string) => string | null;
  /** Of a POST, as text. */
  readonly body: string;
  /** Who asks, as the socket knows it. */
  readonly from: string;
}

export type Handler = (asked: Asked) => Answer | Promise<Answer>;

/** By path; a handler alone is for GET and HEAD. */
export type Routes = Readonly<Record<string, Handler | { readonly GET?: Handler; readonly POST: Handler }>>;

export interface HttpServer {
  /** With the port that was chosen if 0 was asked for, for instance `http://127.0.0.1:9465`. */
  readonly url: string;
  close(): Promise<void>;
}

/** Nothing here is meant for a browser to run, frame, sniff or keep. */
export const STRICT_HEADERS = {
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
  const { status, contentType, body: text, headers } = await answerTo(request, routes);
  const packed = text.length >= PACKED_FROM && acceptsGzip(request);
  const body = packed ? gzipSync(text, { level: 4 }) : Buffer.from(text);
  response.writeHead(status, {
    ...STRICT_HEADERS,
    'Content-Type': contentType,
    'Content-Length': body.length,
    Vary: 'Accept-Encoding',
    ...(packed ? { 'Content-Encoding': 'gzip' } : {}),
    ...headers,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** What is shorter fits into a packet as it is. */
const PACKED_FROM = 1_400;

function acceptsGzip({ headers }: IncomingMessage): boolean {
  return /(^|[\s,])gzip\s*(,|;\s*q=(?!0(\.0*)?\s*(,|$))|$)/i.test(String(headers['accept-encoding'] ?? ''));
}

async function answerTo(request: IncomingMessage, routes: Routes): Promise<Answer> {
  const [path = '/', search = ''] = splitOnce(request.url ?? '/', '?');
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (route === undefined)
    return json(404, { error: 'there is nothing at this path', paths: Object.keys(routes) });
  const byMethod = typeof route === 'function' ? { GET: route } : route;
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const handler =
    method === 'GET' ? byMethod.GET : method === 'POST' && 'POST' in byMethod ? byMethod.POST : undefined;
  if (handler === undefined) return notAllowed(request.method, Object.keys(byMethod));
  try {
    const body = method === 'POST' ? await bodyOf(request) : '';
    if (body === undefined) return { ...json(413, TOO_LARGE), headers: { Connection: 'close' } };
    return await handler({
      query: new URLSearchParams(search),
      header: (name) => headerOf(request, name),
      body,
      from: request.socket.remoteAddress ?? '',
    });
  } catch (error) {
    return json(500, { error: messageOf(error) });
  }
}

function notAllowed(method: string | undefined, methods: readonly string[]): Answer {
  const allowed = methods.flatMap((one) => (one === 'GET' ? ['GET', 'HEAD'] : [one]));
  return {
    ...json(405, { error: `${method} is not allowed here`, allowed }),
    headers: { Allow: allowed.join(', ') },
  };
}

const BODY_BYTES = 64 * 1024;
const TOO_LARGE = { error: 'the request is too large', atMost: BODY_BYTES };

/** Undefined: it is longer than anything that is asked here. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function headerOf({ headers }: IncomingMessage, name: string): string | null {
  const value = headers[name];
  return typeof value === 'string' ? value : null;
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
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
