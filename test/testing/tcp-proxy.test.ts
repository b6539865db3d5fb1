import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sleep } from '../../src/lifecycle/abort.ts';
import { createDeferred } from '../../src/lifecycle/deferred.ts';
import { startTcpProxy, type TcpProxy } from '../../src/testing/index.ts';

/** Long enough for anything that passes on loopback, short enough to wait for nothing. */
const QUIET_MS = 60;

let server: EchoServer;
let proxy: TcpProxy;
const clients: Client[] = [];

beforeEach(async () => {
  server = await startEchoServer();
  proxy = await startTcpProxy({ port: server.port });
});
afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy();
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

test('undisturbed, everything passes unchanged and in order, large and from many at once', async () => {
  const text = Array.from({ length: 200_000 }, (_, i) => String(i)).join(' ');
  const all = await Promise.all([1, 2, 3].map(() => open()));
  for (const client of all) client.socket.write(text);
  for (const client of all) expect(await client.until(text.length)).toBe(text);
  expect(proxy.links).toBe(3);
  expect(proxy.passed).toEqual({ up: 3 * text.length, down: 3 * text.length });
});

test('the end of one side, and a server that is not there, reach the other', async () => {
  const client = await open();
  client.socket.end('last words');
  expect(await client.until(10)).toBe('last words');
  await client.closed;
  expect(client.error).toBeUndefined();
  await expect.poll(() => proxy.links).toBe(0);
  await server[Symbol.asyncDispose]();
  const refused = await open();
  expect(await refused.closed).toBe('ECONNRESET');
});

test('cut ends the links of this moment for both sides, and later ones work', async () => {
  const [first, second] = [await open(), await open()];
  proxy.cut();
  expect([await first.closed, await second.closed]).toEqual(['ECONNRESET', 'ECONNRESET']);
  await expect.poll(() => server.ended).toBe(2);
  const third = await open();
  proxy.cut('close');
  expect(await third.closed).toBeUndefined();
  expect(await (await open()).echo('again')).toBe('again');
});

test.each([0, 1, 5, 11])('cutAfter lets exactly %i bytes through, up', async (bytes) => {
  const client = await open();
  await client.echo('before');
  const { cut } = proxy.cutAfter(bytes, { direction: 'up' });
  client.socket.write('hello world and more');
  await cut;
  await client.closed;
  await expect.poll(() => server.received).toBe(`before${'hello world'.slice(0, bytes)}`);
  expect(await (await open()).echo('whole again')).toBe('whole again');
});

test('cutAfter counts down as well, and for later links from their first byte', async () => {
  const client = await open();
  proxy.cutAfter(4, { direction: 'down', links: 'all' });
  client.socket.write('hello world');
  await client.closed;
  expect(client.text).toBe('hell');
  const later = await open();
  later.socket.write('good bye');
  await later.closed;
  expect(later.text).toBe('good');
  proxy.heal();
  expect(await (await open()).echo('hello world')).toBe('hello world');
});

test('refuse and accept, while open links go on', async () => {
  const before = await open();
  proxy.refuse();
  await expect(connected(proxy.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  expect(await before.echo('still here')).toBe('still here');
  await proxy.accept();
  expect(await (await open()).echo('back')).toBe('back');
});

test('a black hole carries nothing, not even an end, and late what was held', async () => {
  const [held, gone] = [await open(), await open()];
  await gone.echo('x');
  proxy.blackHole();
  held.socket.write('held');
  gone.socket.destroy();
  await sleep(QUIET_MS);
  expect(server.received).toBe('x');
  expect(server.ended).toBe(0);
  expect(await (await open()).echo('new')).toBe('new');
  proxy.heal();
  expect(await held.until(4)).toBe('held');
  await expect.poll(() => server.ended).toBe(1);
});

test('a black hole for later links takes their connections and no bytes', async () => {
  const before = await open();
  proxy.blackHole({ links: 'all' });
  const later = await open();
  before.socket.write('a');
  later.socket.write('b');
  await sleep(QUIET_MS);
  expect(server.received).toBe('');
  expect(later.socket.destroyed).toBe(false);
});

test('one direction is held, the other flows', async () => {
  const client = await open();
  proxy.blackHole({ direction: 'down' });
  client.socket.write('heard');
  await expect.poll(() => server.received).toBe('heard');
  await sleep(QUIET_MS);
  expect(client.text).toBe('');
  proxy.heal();
  expect(await client.until(5)).toBe('heard');
});

test('swallowed answers never come, and the link cannot be mended', async () => {
  const client = await open();
  proxy.swallow({ direction: 'down' });
  client.socket.write('heard');
  await expect.poll(() => server.received).toBe('heard');
  await sleep(QUIET_MS);
  expect(client.text).toBe('');
  proxy.heal();
  expect(await client.closed).toBe('ECONNRESET');
});

test('half-open: one side is gone and the other is not told', async () => {
  const client = await open();
  await client.echo('x');
  proxy.halfOpen('server');
  await expect.poll(() => server.ended).toBe(1);
  client.socket.write('anybody there?');
  await sleep(QUIET_MS);
  expect(client.socket.destroyed).toBe(false);
  proxy.heal();
  expect(await client.closed).toBe('ECONNRESET');

  const other = await open();
  await other.echo('y');
  proxy.halfOpen('client');
  await other.closed;
  await sleep(QUIET_MS);
  expect(server.ended).toBe(1);
});

test('a delay holds each byte back for as long, in order', async () => {
  const client = await open();
  proxy.delay(100, { direction: 'down' });
  const startedAtMs = performance.now();
  client.socket.write('a');
  await expect.poll(() => server.received, { interval: 1 }).toBe('a');
  expect(client.text).toBe('');
  client.socket.write('b');
  expect(await client.until(2)).toBe('ab');
  expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(100);
});

test('a throttle keeps to its rate, and ends when it is lifted', async () => {
  const client = await open();
  proxy.throttle(10_000, { direction: 'up' });
  const startedAtMs = performance.now();
  client.socket.write('x'.repeat(2_000));
  await client.until(2_000);
  expect(performance.now() - startedAtMs).toBeGreaterThan(150);
  client.socket.write('y'.repeat(100_000));
  proxy.heal();
  await client.until(102_000);
});

test('split hands over small pieces', async () => {
  const client = await open();
  proxy.split(3, { direction: 'up' });
  client.socket.write('hello world');
  expect(await client.until(11)).toBe('hello world');
  // The kernel may join some of them.
  expect(server.chunks.length).toBeGreaterThan(1);
});

describe('a tap', () => {
  const seen: string[] = [];
  let meanwhile: () => void | Promise<void> = () => undefined;
  beforeEach(async () => {
    seen.length = 0;
    meanwhile = () => undefined;
    await proxy[Symbol.asyncDispose]();
    proxy = await startTcpProxy({
      port: server.port,
      tap: (link, direction, bytes) => {
        seen.push(`${link} ${direction} ${bytes}`);
        return meanwhile();
      },
    });
  });

  test('sees the bytes of each link and direction, each once, however they are cut up afterwards', async () => {
    const [first, second] = [await open(), await open()];
    await first.echo('a');
    await second.echo('b');
    expect(seen).toEqual(['1 up a', '1 down a', '2 up b', '2 down b']);
    proxy.split(1, { direction: 'up' });
    first.socket.write('hello');
    await first.until(6);
    expect(seen.filter((each) => each.startsWith('1 up'))).toEqual(['1 up a', '1 up hello']);
  });

  test('holds its direction back until its promise is done, and no other', async () => {
    const client = await open();
    await client.echo('before');
    const { promise, resolve } = createDeferred<void>();
    meanwhile = () => promise;
    client.socket.write('held');
    await expect.poll(() => seen.at(-1)).toBe('1 up held');
    meanwhile = () => undefined;
    expect(await (await open()).echo('other')).toBe('other');
    expect(server.received).toBe('beforeother');
    resolve();
    expect(await client.until(10)).toBe('beforeheld');
  });

  test.each([
    ['cut', () => proxy.cut()],
    ['cutAfter', () => void proxy.cutAfter(0, { direction: 'up' })],
    ['swallow', () => proxy.swallow()],
    ['blackHole', () => proxy.blackHole()],
  ])('what it does holds for the bytes that it was shown: %s', async (_, disturb) => {
    const client = await open();
    meanwhile = disturb;
    client.socket.write('lost');
    await expect.poll(() => seen).toEqual(['1 up lost']);
    await sleep(QUIET_MS);
    expect(server.received).toBe('');
    expect(proxy.passed.up).toBe(0);
  });

  test('what was held by a black hole is shown once', async () => {
    const client = await open();
    meanwhile = () => proxy.blackHole();
    client.socket.write('late');
    await expect.poll(() => seen).toEqual(['1 up late']);
    meanwhile = () => undefined;
    proxy.heal();
    expect(await client.until(4)).toBe('late');
    expect(seen).toEqual(['1 up late', '1 down late']);
  });
});

test('conditions add up', async () => {
  proxy.delay(50);
  proxy.split(1);
  const client = await open();
  const startedAtMs = performance.now();
  expect(await client.echo('abc')).toBe('abc');
  expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(100);
});

test('through leads a URL here', () => {
  expect(proxy.through('nats://me:secret@127.0.0.1:4222')).toBe(`nats://me:secret@127.0.0.1:${proxy.port}`);
});

interface Client {
  readonly socket: Socket;
  readonly text: string;
  readonly error: string | undefined;
  /** The code of the error that ended it, if one did. */
  readonly closed: Promise<string | undefined>;
  until(length: number): Promise<string>;
  echo(text: string): Promise<string>;
}

async function open(): Promise<Client> {
  const socket = await connected(proxy.port);
  let text = '';
  let error: string | undefined;
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.on('error', (thrown: NodeJS.ErrnoException) => {
    error = thrown.code;
  });
  const closed = new Promise<string | undefined>((resolve) => socket.on('close', () => resolve(error)));
  const client: Client = {
    socket,
    get text() {
      return text;
    },
    get error() {
      return error;
    },
    closed,
    async until(length) {
      await expect.poll(() => text.length, { timeout: 5_000, interval: 1 }).toBeGreaterThanOrEqual(length);
      return text;
    },
    async echo(message) {
      const before = text.length;
      socket.write(message);
      return (await client.until(before + message.length)).slice(before);
    },
  };
  clients.push(client);
  return client;
}

async function connected(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  return socket;
}

interface EchoServer extends AsyncDisposable {
  readonly port: number;
  readonly received: string;
  readonly chunks: readonly string[];
  /** Connections that are over. */
  readonly ended: number;
}

async function startEchoServer(): Promise<EchoServer> {
  const chunks: string[] = [];
  const sockets = new Set<Socket>();
  let ended = 0;
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.on('data', (chunk) => {
      chunks.push(String(chunk));
      socket.write(chunk);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      ended++;
      sockets.delete(socket);
    });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    port: (listener.address() as AddressInfo).port,
    get received() {
      return chunks.join('');
    },
    chunks,
    get ended() {
      return ended;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}
