import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { liveness, type RelayHealth, readiness } from '../../src/daemon/health.ts';
import { startHttpServer } from '../../src/daemon/http-server.ts';
import { relayRoutes } from '../../src/daemon/routes.ts';
import { type Runnable, runDaemon } from '../../src/daemon/run-daemon.ts';
import { watchStopSignals } from '../../src/daemon/stop-signals.ts';
import { PostcommitError } from '../../src/errors.ts';
import { createLogger, silentLogger } from '../../src/telemetry/logger.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';

const LOCAL = { host: '127.0.0.1', port: 0 };

const LEADING: RelayHealth = {
  role: 'leader',
  epoch: 3,
  databaseConnected: true,
  brokerConnected: true,
  lanes: [{ stream: 's', state: 'publishing', reason: null }],
  lastProgressAtMs: 0,
};

test('ready means publishing or able to take over, and says why not', () => {
  expect(readiness(LEADING)).toEqual({ ok: true, reasons: [] });
  expect(readiness({ ...LEADING, role: 'standby', lanes: [] }).ok).toBe(true);
  const paused = { stream: 's', state: 'paused', reason: 'the stream is full' } as const;
  expect(readiness({ ...LEADING, lanes: [paused] }).reasons).toEqual([
    'stream s is paused: the stream is full',
  ]);
  const cut = { ...LEADING, role: 'standby', databaseConnected: false, brokerConnected: false } as const;
  expect(readiness(cut).reasons).toEqual(['not connected to PostgreSQL', 'not connected to NATS']);
  for (const role of ['starting', 'stopping', 'stopped'] as const)
    expect(readiness({ ...LEADING, role }).reasons).toEqual([`the relay is ${role}`]);
});

test('alive means that the main loop turns, whatever is disconnected', () => {
  const outage = { ...LEADING, databaseConnected: false, brokerConnected: false };
  expect(liveness(outage, 29_000).ok).toBe(true);
  expect(liveness(outage, 31_000)).toEqual({ ok: false, reasons: ['the main loop has not turned for 31 s'] });
  expect(liveness({ ...LEADING, role: 'stopping' }, 99_000).ok).toBe(true);
});

test('the paths answer with strict headers, everything else with a clear error', async () => {
  let health = { ...LEADING, lastProgressAtMs: performance.now() };
  const metrics = createMetrics();
  metrics.publishedEvents.inc({ stream: 's' }, 7);
  const server = await startHttpServer(
    LOCAL,
    relayRoutes(() => health, metrics),
  );
  try {
    const metricsPage = await fetch(`${server.url}/metrics`);
    expect(metricsPage.headers.get('content-type')).toContain('text/plain');
    expect(await metricsPage.text()).toContain('postcommit_published_events_total{stream="s"} 7');
    for (const path of ['/livez', '/healthz', '/readyz']) {
      const response = await fetch(server.url + path);
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ reasons: [], role: 'leader', epoch: 3 });
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
      expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(response.headers.get('cache-control')).toBe('no-store');
    }
    health = { ...health, brokerConnected: false };
    const notReady = await fetch(`${server.url}/readyz?verbose`);
    expect(notReady.status).toBe(503);
    expect(await notReady.json()).toMatchObject({ status: 'not ready', reasons: ['not connected to NATS'] });
    expect((await fetch(`${server.url}/livez`)).status).toBe(200);
    expect(await (await fetch(server.url)).text()).toContain('/readyz');
    expect((await fetch(`${server.url}/constructor`)).status).toBe(404);
    expect(await (await fetch(`${server.url}/nothing`)).json()).toMatchObject({ error: expect.any(String) });
    const post = await fetch(`${server.url}/metrics`, { method: 'POST', body: 'x' });
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    const head = await fetch(`${server.url}/readyz`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([503, '']);
  } finally {
    await server.close();
  }
});

test('a port in use and an address of another machine are configuration errors', async () => {
  const first = await startHttpServer(LOCAL, {});
  const port = Number(new URL(first.url).port);
  await expect(startHttpServer({ ...LOCAL, port }, {})).rejects.toMatchObject({
    code: 'config-invalid',
    message: `cannot serve HTTP on 127.0.0.1:${port}: another process uses this port`,
  });
  await expect(startHttpServer({ host: '192.0.2.1', port: 0 }, {})).rejects.toMatchObject({
    code: 'config-invalid',
  });
  await first.close();
});

interface FakeRelay extends Runnable {
  readonly calls: unknown[];
  end(): void;
}

function fakeRelay(start: () => Promise<void> = async () => {}): FakeRelay {
  const calls: unknown[] = [];
  let end = () => {};
  const closed = new Promise<void>((resolve) => {
    end = resolve;
  });
  return {
    calls,
    closed,
    end,
    start,
    ready: Promise.resolve('leader'),
    status: () => LEADING,
    async stop(options) {
      calls.push(options);
      end();
    },
  };
}

function linesOf(): { lines: Record<string, unknown>[]; logger: ReturnType<typeof createLogger> } {
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  return { lines, logger: createLogger({ level: 'error', destination }) };
}

const COMMON = { http: LOCAL, metrics: createMetrics(), graceMs: 77 };

test('it says ready once, at every log level, serves meanwhile, and settles on request', async () => {
  const stop = new AbortController();
  const relay = fakeRelay();
  const { lines, logger } = linesOf();
  const running = runDaemon({ ...COMMON, relay, logger, stopRequested: stop.signal });
  while (lines.length === 0) await delay(5);
  expect(lines).toMatchObject([{ event: 'ready', role: 'leader', http: expect.stringContaining('http://') }]);
  const address = String(lines[0]?.http);
  expect((await fetch(`${address}/readyz`)).status).toBe(200);
  stop.abort('SIGTERM');
  await running;
  expect(relay.calls).toEqual([{ graceMs: 77 }]);
  await expect(fetch(`${address}/readyz`)).rejects.toThrow();
});

test('what the first start says ends the run, with nothing left listening', async () => {
  const failure = new PostcommitError('migration-missing', 'a', 'b');
  const relay = fakeRelay(() => Promise.reject(failure));
  const { signal } = new AbortController();
  const options = { ...COMMON, relay, logger: silentLogger(), stopRequested: signal };
  await expect(runDaemon(options)).rejects.toBe(failure);
});

test('a stop in the midst of the start ends in order', async () => {
  const stop = new AbortController();
  const relay = fakeRelay(async () => {
    stop.abort('SIGINT');
    await delay(1);
    throw new Error('interrupted');
  });
  await runDaemon({ ...COMMON, relay, logger: silentLogger(), stopRequested: stop.signal });
  expect(relay.calls).toHaveLength(1);
});

test('a relay that ends unasked is a failure', async () => {
  const relay = fakeRelay();
  const { signal } = new AbortController();
  const running = runDaemon({ ...COMMON, relay, logger: silentLogger(), stopRequested: signal });
  relay.end();
  await expect(running).rejects.toThrow('without being asked');
});

test('the first signal asks, the second ends with 128 + n', () => {
  const listeners = new Map<string, () => void>();
  const exits: number[] = [];
  const source = {
    on: (signal: string, listener: () => void) => listeners.set(signal, listener),
    off: (signal: string) => listeners.delete(signal),
  };
  const signals = watchStopSignals({ source, exit: (code) => exits.push(code) });
  listeners.get('SIGTERM')?.();
  expect([signals.requested.aborted, signals.requested.reason, exits]).toEqual([true, 'SIGTERM', []]);
  listeners.get('SIGINT')?.();
  listeners.get('SIGTERM')?.();
  expect(exits).toEqual([130, 143]);
  signals.release();
  expect(listeners.size).toBe(0);
});
