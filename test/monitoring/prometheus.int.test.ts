import { execFile } from 'node:child_process';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consume } from '../../src/consumer/index.ts';
import { type HttpServer, startHttpServer } from '../../src/daemon/http-server.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { openStage, type Stage } from '../guarantees/stage.ts';
import { type RunningCli, startCli } from '../support/cli.ts';
import { ensurePrometheus } from '../support/install-prometheus.ts';
import { filledIn, panelQueries } from './dashboard-file.ts';
import { type PrometheusServer, startPrometheus } from './prometheus-server.ts';

/**
 * A leader, a standby and a consumer, scraped by a real Prometheus with the example configuration and the rules. `promtool`
 * knows whether an expression can be read; only this knows whether its sides match, and whether anything is there.
 */
let stage: Stage;
let db: pg.Pool;
const relays: RunningCli[] = [];
const addresses: string[] = [];
const running: AsyncDisposable[] = [];
let consumers: HttpServer;
let prometheus: PrometheusServer;

/** A rate needs two scrapes, and the relay's rounds come every five seconds. */
const PATIENCE_MS = 40_000;

beforeAll(async () => {
  stage = await openStage();
  for (let i = 0; i < 2; i++) relays.push(await startRelay());
  db = new pg.Pool({ connectionString: stage.databaseUrl });
  const metrics = createMetrics();
  const options = { nats: stage.natsUrl, stream: stage.stream, durable: 'letters', db, metrics };
  running.push(await consume(options, () => undefined));
  const body = async () => ({
    status: 200,
    contentType: 'text/plain',
    body: await metrics.registry.metrics(),
  });
  consumers = await startHttpServer({ host: '127.0.0.1', port: 0 }, { '/metrics': body });
  prometheus = await startPrometheus({ postcommit: addresses, consumers: [new URL(consumers.url).host] });
  running.push(stage.startWriters({ count: 1 }));
});
afterAll(async () => {
  await prometheus?.[Symbol.asyncDispose]();
  await consumers?.close();
  for (const one of [...running, ...relays]) await one[Symbol.asyncDispose]();
  await db?.end();
  await stage?.[Symbol.asyncDispose]();
});

async function startRelay(): Promise<RunningCli> {
  const relay = startCli(['relay'], {
    DATABASE_URL: stage.databaseUrl,
    NATS_URL: stage.natsUrl,
    POSTCOMMIT_STREAM: stage.stream,
    POSTCOMMIT_SUBJECTS: `${stage.stream}.>`,
    POSTCOMMIT_HTTP: '127.0.0.1:0',
  });
  const { http } = await relay.line('ready');
  addresses.push(new URL(String(http)).host);
  return relay;
}

test('every target of the example is scraped', async () => {
  await expect
    .poll(async () => (await prometheus.query('up == 1')).map(({ metric }) => metric.job).sort(), {
      timeout: PATIENCE_MS,
    })
    .toEqual(['consumers', 'postcommit', 'postcommit']);
});

test('every panel of the dashboard shows something, or what it would show has not happened', async () => {
  const empty = async () => {
    const panels: string[] = [];
    for (const { panel, expr } of panelQueries())
      if ((await prometheus.query(filledIn(expr))).length === 0) panels.push(panel);
    return panels;
  };
  // Nobody goes through a pooler.
  await expect.poll(empty, { timeout: PATIENCE_MS, interval: 500 }).toEqual(['Relay: Connections']);
});

test('every rule can be evaluated, and each that is recorded has a value', async () => {
  interface Rule {
    readonly name: string;
    readonly type: string;
    readonly health: string;
    readonly lastError?: string;
  }
  const all = async () => {
    const { groups } = (await prometheus.ask('rules')) as { groups: readonly { rules: readonly Rule[] }[] };
    return groups.flatMap((group) => group.rules);
  };
  expect((await all()).length).toBeGreaterThan(30);
  // Each group is evaluated for the first time some seconds after the start.
  const unwell = async () => (await all()).filter(({ health }) => health !== 'ok');
  await expect.poll(unwell, { timeout: PATIENCE_MS, interval: 500 }).toEqual([]);
  for (const { name } of (await all()).filter(({ type }) => type === 'recording'))
    await expect.poll(() => prometheus.query(name), { timeout: PATIENCE_MS, interval: 500 }).not.toEqual([]);
});

test('nothing fires while all is well', async () => {
  expect(await prometheus.query('ALERTS{alertstate="firing"}')).toEqual([]);
});

test('promtool has nothing to say against the metrics of a relay and a consumer', async () => {
  for (const url of [`http://${addresses[0]}/metrics`, `${consumers.url}/metrics`])
    expect(await lint(await (await fetch(url)).text())).toEqual([]);
});

test('when the leader is killed the standby is seen to lead, and the target to be down', async () => {
  const [leader] = relays;
  leader?.process.kill('SIGKILL');
  const leads = async () =>
    (await prometheus.query('postcommit_relay_role{role="leader"} == 1')).map(
      ({ metric }) => metric.instance,
    );
  await expect.poll(leads, { timeout: PATIENCE_MS }).toEqual([addresses[1]]);
  const pending = async () =>
    (await prometheus.query('ALERTS{alertname="PostcommitRelayDown"}')).map(({ metric }) => metric.instance);
  await expect.poll(pending, { timeout: PATIENCE_MS }).toEqual([addresses[0]]);
});

/** What promtool says of metrics of postcommit; those of the process have names that are not ours. */
async function lint(page: string): Promise<string[]> {
  const program = await ensurePrometheus('promtool');
  const said = await new Promise<string>((resolve) => {
    const child = execFile(program, ['check', 'metrics'], (_, stdout, stderr) => resolve(stdout + stderr));
    child.stdin?.end(page);
  });
  return said.split('\n').filter((line) => line.startsWith('postcommit_') || line.startsWith('error'));
}
