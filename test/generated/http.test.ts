import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type HttpServer, startHttpServer } from '../../src/daemon/http-server.ts';
import { relayRoutes } from '../../src/daemon/routes.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { hostileText, plainText } from './hostile-text.ts';
import { howMany, seedFor } from './seed.ts';

let server: HttpServer;
let port: number;
const metrics = createMetrics();

beforeAll(async () => {
  metrics.publishedEvents.inc({ stream: 'a "stream"\n' }, 7);
  const health = {
    role: 'leader',
    epoch: 3,
    databaseConnected: true,
    brokerConnected: false,
    lanes: [{ stream: 's', state: 'paused', reason: 'NATS is "down"\r\n' }],
  } as const;
  const routes = relayRoutes(() => ({ ...health, lastProgressAtMs: performance.now() }), metrics);
  server = await startHttpServer({ host: '127.0.0.1', port: 0 }, routes);
  port = Number(new URL(server.url).port);
});
afterAll(() => server.close());

const PATHS = ['/metrics', '/livez', '/healthz', '/readyz'];
const METHODS = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'PATCH',
  'OPTIONS',
  'TRACE',
  'PROPFIND',
  'M-SEARCH',
  'PURGE',
];

interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const query = plainText.map((text) => `?${encodeURIComponent(text)}`);
const path = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...PATHS) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom(...PATHS), query).map((parts) => parts.join('')) },
  { weight: 2, arbitrary: hostileText.map((text) => `/${encodeURIComponent(text.toWellFormed())}`) },
  { weight: 1, arbitrary: fc.webPath().map((text) => text || '/') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '/constructor',
      '/__proto__',
      '//metrics',
      '/../metrics',
      '/metrics/',
      '/METRICS',
      '*',
      '/%00',
      '/metrics#x',
      'http://other/metrics',
      `/${'x'.repeat(20_000)}`,
    ),
  },
);
const requests: fc.Arbitrary<Request> = fc.record({
  method: fc.oneof({ weight: 2, arbitrary: fc.constant('GET') }, fc.constantFrom(...METHODS)),
  path,
  headers: fc.dictionary(
    fc.oneof(
      fc.stringMatching(/^x-[a-z]{1,8}$/),
      fc.constantFrom(
        'accept',
        'cookie',
        'range',
        'expect',
        'upgrade',
        'connection',
        'if-none-match',
        'origin',
        'x-http-method-override',
        'authorization',
      ),
    ),
    fc.oneof(
      fc.stringMatching(/^[!-~]{0,40}$/),
      fc.constantFrom(
        '100-continue',
        'websocket',
        'upgrade',
        'close',
        'bytes=0-1',
        'DELETE',
        'x'.repeat(17_000),
      ),
    ),
    { maxKeys: 4 },
  ),
  body: fc.oneof(fc.constant(''), hostileText, fc.constantFrom('x'.repeat(100_000))),
});

/** Of ours, and of Node's parser in front of us. */
const OURS = [200, 404, 405, 503];
const PARSERS = [400, 408, 413, 417, 431];

test('every generated request gets an answer with a documented status', async () => {
  const all = fc.sample(requests, { seed: seedFor('HTTP requests'), numRuns: howMany(1_500) });
  const statuses = await inTurn(all, ask);
  all.forEach((one, i) => {
    const { status, body } = statuses[i] as Reply;
    const about = `${one.method} ${one.path.slice(0, 80)} ${JSON.stringify(one.headers).slice(0, 200)}: ${status}`;
    expect([...OURS, ...PARSERS], about).toContain(status);
    const known = PATHS.includes(one.path.split('?', 1)[0] ?? '');
    if (OURS.includes(status)) expect(status, about).toBe(expectedOf(one, known));
    expect(body, about).not.toMatch(/^\s+at |node_modules/m);
  });
  await expectMetrics();
});

function expectedOf({ method, path: asked }: Request, known: boolean): number {
  if (!known) return 404;
  if (method !== 'GET' && method !== 'HEAD') return 405;
  return asked.startsWith('/readyz') ? 503 : 200;
}

const rawLine = fc.oneof(
  fc.constantFrom(
    'GET /metrics HTTP/1.1',
    'GET / HTTP/1.0',
    'HEAD /livez HTTP/1.1',
    'GET /metrics HTTP/9.9',
    'GET',
    'CONNECT a:1 HTTP/1.1',
    'PRI * HTTP/2.0',
    'get / http/1.1',
    'GET /a b HTTP/1.1',
  ),
  hostileText.map((text) => `GET /${text} HTTP/1.1`),
  hostileText,
);
const rawHeader = fc.oneof(
  fc.constantFrom(
    'Host: x',
    'Content-Length: 5',
    'Content-Length: -1',
    'Content-Length: 99999999999999999999',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: nonsense',
    'Connection: Upgrade',
    'Upgrade: h2c',
    'Expect: 100-continue',
    ' folded: x',
    ': x',
    'x',
    'Host: y',
    `Big: ${'x'.repeat(20_000)}`,
  ),
  fc.tuple(hostileText, hostileText).map((parts) => parts.join(': ')),
);
const broken = fc.oneof(
  fc
    .record({
      line: rawLine,
      headers: fc.array(rawHeader, { maxLength: 5 }),
      end: fc.constantFrom('\r\n\r\n', '\n\n', '\r\n', ''),
      body: fc.oneof(fc.constantFrom('', '5\r\nhello\r\n0\r\n\r\n', 'zz\r\n'), hostileText),
    })
    .map(({ line, headers, end, body }) => Buffer.from([line, ...headers].join('\r\n') + end + body)),
  fc.uint8Array({ maxLength: 500 }).map((bytes) => Buffer.from(bytes)),
  // A TLS greeting, and another protocol altogether.
  fc.constantFrom(
    Buffer.from('16030100c8010000c40303', 'hex'),
    Buffer.from('CONNECT {"verbose":false}\r\nPING\r\n'),
  ),
);

test('a broken request is answered, or its connection is closed', async () => {
  const all = fc.sample(broken, { seed: seedFor('broken HTTP requests'), numRuns: howMany(1_500) });
  const answers = await inTurn(all, sendRaw);
  answers.forEach((answer, i) => {
    const about = JSON.stringify(all[i]?.toString('latin1').slice(0, 300));
    const statuses = [...answer.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => Number(status));
    for (const status of statuses) expect([100, ...OURS, ...PARSERS], about).toContain(status);
    if (answer !== '') expect(answer, about).toMatch(/^HTTP\/1\.1 \d{3} /);
  });
  await expectMetrics();
});

interface Reply {
  readonly status: number;
  readonly body: string;
}

function ask({ method, path: asked, headers, body }: Request): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { port, host: '127.0.0.1', method, path: asked, headers, timeout: 5_000, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
        );
        response.on('error', reject);
      },
    );
    sent.on('timeout', () => sent.destroy(new Error(`no answer to ${method} ${asked}`)));
    // An answer that comes before the body is sent may close the connection under it.
    sent.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EPIPE' || error.code === 'ECONNRESET'
        ? resolve({ status: 413, body: '' })
        : reject(error),
    );
    sent.end(body);
  });
}

async function sendRaw(bytes: Buffer): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.setTimeout(5_000, () => socket.destroy(new Error('left hanging')));
  const closed = once(socket, 'close');
  socket.end(bytes);
  await closed;
  return Buffer.concat(chunks).toString('latin1');
}

/** Sixteen at a time. */
async function inTurn<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = new Array(items.length);
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i] as Item);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return results;
}

async function expectMetrics(): Promise<void> {
  const response = await fetch(`${server.url}/metrics`);
  expect(response.status).toBe(200);
  expect(await response.text()).toContain('postcommit_published_events_total{stream="a \\"stream\\"\\n"} 7');
}
