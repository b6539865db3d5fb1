import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { connectBroker } from '../../src/jetstream/index.ts';
import { createLogger, silentLogger } from '../../src/telemetry/logger.ts';
import { startNats } from '../support/services.ts';

const forever = new AbortController().signal;

function recordLog() {
  const lines: { event?: string; level?: number }[] = [];
  const text: string[] = [];
  const destination = new Writable({
    write(chunk, _encoding, done) {
      text.push(String(chunk));
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  return { logger: createLogger({ level: 'debug', destination }), lines, text };
}

test('nobody there fails the start, with an address and without the password', async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  );
  server.close();
  const starting = connectBroker(
    { servers: [`nats://me:s3cr3t@127.0.0.1:${port}`] },
    { logger: silentLogger() },
  );
  await expect(starting).rejects.toMatchObject({
    code: 'broker-unreachable',
    message: expect.stringContaining(`127.0.0.1:${port}`),
  });
  await expect(starting).rejects.not.toMatchObject({ message: expect.stringContaining('s3cr3t') });
});

test('a server that says nothing fails the start within its bound, and so does the signal', async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  );
  try {
    const settings = { servers: [`127.0.0.1:${port}`] };
    const unreachable = { code: 'broker-unreachable' };
    const logger = silentLogger();
    await expect(connectBroker(settings, { logger, firstAttemptTimeoutMs: 50 })).rejects.toMatchObject(
      unreachable,
    );
    const controller = new AbortController();
    const starting = connectBroker(settings, {
      logger,
      signal: controller.signal,
      firstAttemptTimeoutMs: 500,
    });
    controller.abort();
    await expect(starting).rejects.toMatchObject({ message: expect.stringContaining('cancelled') });
  } finally {
    server.close();
  }
});

test.each([[['http://127.0.0.1']], [[]], [['nats://a b']]])('%j is bad configuration', async (servers) => {
  await expect(connectBroker({ servers }, { logger: silentLogger() })).rejects.toMatchObject({
    code: 'config-invalid',
  });
});

test('the link outlives its server, tells each change once, and logs it', async () => {
  await using nats = await startNats();
  const { logger, lines } = recordLog();
  await using link = await connectBroker({ servers: [nats.url] }, { logger });
  const changes: string[] = [];
  const off = link.onDisconnect(() => changes.push(`down ${link.connected}`));
  link.onReconnect(() => changes.push(`up ${link.connected}`));
  expect(link.connected).toBe(true);
  expect(link.maxPayload).toBe(1_048_576);

  const down = new Promise<void>((resolve) => link.onDisconnect(resolve));
  nats.kill('SIGKILL');
  await down;
  const controller = new AbortController();
  const cancelled = link.waitConnected(controller.signal);
  controller.abort();
  await cancelled;
  expect(link.connected).toBe(false);
  const waiting = link.waitConnected(forever);
  await nats.start();
  await waiting;
  expect(changes).toEqual(['down false', 'up true']);
  expect(lines.map(({ event }) => event)).toEqual(['nats-disconnected', 'nats-reconnected']);

  off();
  await link.close();
  await link.waitConnected(forever);
  expect(link.connected).toBe(false);
  expect(changes).toEqual(['down false', 'up true']);
  expect(lines).toHaveLength(2);
});

test('rotated credentials are taken up at the reconnect, and refused ones do not end the link', async () => {
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), 'postcommit-test-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const demand = (password: string) =>
    writeFile(join(dataDir, 'auth.conf'), `authorization { user: me, password: ${password} }`);
  await demand('first');
  const nats = stack.use(await startNats({ config: 'include ./auth.conf', dataDir }));
  const { logger, text } = recordLog();
  let password = 'first';
  let asked = 0;
  const settings = () => {
    asked++;
    return { servers: [nats.url], user: 'me', password };
  };
  await using link = await connectBroker(settings, { logger });
  await nats.stop();
  await demand('second');
  await nats.start();
  const before = asked;
  // Several refusals in a row, which end a client with the default options.
  await expect.poll(() => asked - before, { timeout: 20_000 }).toBeGreaterThan(6);
  expect(link.connection.isClosed()).toBe(false);
  password = 'second';
  await link.waitConnected(forever);
  await link.connection.flush();
  expect(text.join('')).not.toMatch(/first|second/);
});

test('an address that changed is taken up while the old server is gone', async () => {
  await using first = await startNats();
  await using second = await startNats();
  let url = first.url;
  await using link = await connectBroker(() => ({ servers: [url] }), { logger: silentLogger() });
  const down = new Promise<void>((resolve) => link.onDisconnect(resolve));
  await first.stop();
  await down;
  url = second.url;
  await link.waitConnected(forever);
  expect(link.connection.getServer()).toBe(`127.0.0.1:${second.port}`);
});

test('wrong credentials fail the start and say which settings to look at', async () => {
  await using nats = await startNats({ config: 'authorization { token: right }' });
  const logger = silentLogger();
  await expect(connectBroker({ servers: [nats.url], token: 'wrong' }, { logger })).rejects.toMatchObject({
    code: 'broker-unreachable',
    hint: expect.stringContaining('NATS_TOKEN'),
  });
  await using link = await connectBroker(
    { servers: [nats.url.replace('nats://', 'nats://right@')] },
    { logger },
  );
  await link.connection.flush();
});
