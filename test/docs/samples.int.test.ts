import { existsSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EmbeddedNats, type EmbeddedPostgres, findNatsServer } from '../../src/embedded/index.ts';
import { type RunningCli, runCli, startCli } from '../support/cli.ts';
import { startNats, startPostgres } from '../support/services.ts';
import { type Checkout, createCheckout } from './checkout.ts';
import { startCollector } from './collector.ts';
import { ROOT, readPage, type Sample, sampleMarked, samplesOf } from './pages.ts';

const ALONE = ['docs/embedded-services.md', 'docs/testing-your-service.md'].flatMap(samplesOf);

// Servers of its own, so that samples may use the names and addresses that a reader would.
let postgres: EmbeddedPostgres;
let nats: EmbeddedNats;
let checkout: Checkout;
let admin: pg.Client;

beforeAll(async () => {
  [postgres, nats, checkout] = await Promise.all([
    startPostgres({ settings: { max_prepared_transactions: '4' } }),
    startNats(),
    createCheckout(),
  ]);
  admin = new pg.Client({ connectionString: postgres.url });
  await admin.connect();
  await admin.query("CREATE ROLE app LOGIN PASSWORD 'secret'");
  await admin.query('CREATE DATABASE shop');
  await admin.query('GRANT CREATE ON DATABASE shop TO app');
});
afterAll(async () => {
  await admin?.end();
  for (const resource of [checkout, nats, postgres]) await resource?.[Symbol.asyncDispose]();
});

/** The addresses of the pages, replaced by ours. */
function here(text: string): string {
  return text
    .replaceAll('127.0.0.1:5432', `127.0.0.1:${postgres.port}`)
    .replaceAll('nats://127.0.0.1:4222', nats.url);
}

test('the quick start of the README, word for word', async () => {
  const page = samplesOf('README.md');
  const [setUp = '', consume = '', insert = ''] = page
    .filter(({ language, marks }) => language === 'sh' && marks.has('run'))
    .map(({ text }) => here(text));
  // The packages are here already: fetching them again is not what this test is about.
  const build = setUp.replace('npm ci && npm run build', 'npm run build');
  expect(build).not.toBe(setUp);
  const file = page.find(({ marks }) => marks.has('file'));
  await checkout.write(file?.marks.get('file') ?? '', file?.text ?? '');
  const exports = setUp.replaceAll(/^(?!export ).*\n/gm, '');
  const env = { POSTCOMMIT_HTTP: '127.0.0.1:0' };

  await using relay = checkout.start(build, env);
  await relay.prints('"event":"ready"');
  await using consumer = checkout.start(exports + consume, env);
  await using inserting = checkout.start(exports + insert, env);
  expect(await inserting.exit, inserting.output).toBe(0);
  const printed = page.find(({ language }) => language === 'text')?.text ?? 'nothing';
  await consumer.prints(printed);
  const { rows } = await admin.query("SELECT rolsuper FROM pg_roles WHERE rolname = 'app'");
  expect(rows).toEqual([{ rolsuper: false }]);
  await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop'");
});

// In the checkout and the database of the quick start, as everything below.
test('a relay with the SDK of the tracing page exports the spans of what it sent, the last ones as it stops', async () => {
  const page = 'docs/tracing.md';
  await using collector = await startCollector();
  await checkout.write('otel.mjs', sampleMarked(page, 'js', 'file').text);
  const url = new URL(postgres.url);
  url.pathname = '/shop';
  const database = new pg.Client({ connectionString: url.href });
  await database.connect();
  await using relay = checkout.start(sampleMarked(page, 'sh', 'run').text, {
    DATABASE_URL: url.href,
    NATS_URL: nats.url,
    POSTCOMMIT_HTTP: 'off',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_METRICS_EXPORTER: 'none',
    OTEL_LOGS_EXPORTER: 'none',
    OTEL_BSP_SCHEDULE_DELAY: '600000',
  });
  await relay.prints('"event":"ready"');
  const { text } = sampleMarked(page, 'sql', 'run');
  await database.query(text);
  const unplanned = `SELECT (SELECT count(*) FROM postcommit.outbox)::int
    - (SELECT sum(upper(r) - lower(r)) FROM postcommit.batches, unnest(positions) r)::int AS events`;
  await expect.poll(async () => (await database.query(unplanned)).rows[0].events).toBe(0);
  await database.end();
  relay.interrupt();
  await relay.exit;
  expect(relay.output).toContain('"event":"stopped"');
  const traceId = /00-(\w{32})-/.exec(text)?.[1];
  expect(collector.spans).toEqual([
    { name: 'send postcommit', service: 'postcommit-relay', scope: 'postcommit', traceId },
  ]);
});

// The checkout that the quick start has built.
describe('samples', () => {
  const pages = [
    'README.md',
    'docs/writing-events.md',
    'docs/consuming.md',
    'docs/running-the-relay.md',
    'docs/troubleshooting.md',
    'docs/dead-letters.md',
    'docs/tracing.md',
    'docs/replay.md',
    'docs/cloud-events.md',
    'docs/contracts.md',
    'docs/protocol.md',
  ];
  const runnable = pages
    .flatMap(samplesOf)
    .filter(({ language, marks }) => language !== 'sh' && isRun(marks));
  let database: pg.Client;
  let relay: RunningCli;
  let env: Record<string, string>;

  beforeAll(async () => {
    await admin.query('CREATE DATABASE samples');
    const url = new URL(postgres.url);
    url.pathname = '/samples';
    database = new pg.Client({ connectionString: url.href });
    await database.connect();
    env = { DATABASE_URL: url.href, NATS_URL: nats.url, POSTCOMMIT_HTTP: '127.0.0.1:0' };
    // The stream of the quick start holds what another database's relay wrote: this one begins behind it.
    relay = startCli(['relay', '--migrate'], { ...env, POSTCOMMIT_CLOUDEVENTS: 'binary' });
    await relay.line('ready');
    // What `prisma generate` made of a schema with the table of the page.
    const client = join(ROOT, 'examples', '11-adapters', 'generated');
    await cp(client, join(checkout.path, 'generated'), { recursive: true });
    await checkout.write(
      'run-sample.mjs',
      'await import(process.argv[2]);\nconsole.log("<the sample is over>");\n',
    );
  });
  afterAll(async () => {
    await relay?.[Symbol.asyncDispose]();
    await database?.end();
  });

  test.each(runnable.map((sample) => [`${sample.page}:${sample.line}`, sample] as const))(
    '%s',
    async (_, sample) => {
      const { marks, page } = sample;
      if (marks.get('setup') === 'patients')
        await database.query(
          /^CREATE TABLE patients.*;$/m.exec(readPage('docs/writing-events.md'))?.[0] ?? '',
        );
      const before = await lastPosition();
      const written: string[] = [];
      for (const subject of listOf(marks.get('publishes'))) {
        written.push(subject);
        await database.query("SELECT postcommit.enqueue($1, '{}', key => 'p7')", [subject]);
      }
      const expected = [...written, ...listOf(marks.get('outbox'))];
      const asExpected = () => expect.poll(() => subjectsSince(before)).toEqual(expected);
      if (sample.language === 'sql') await runSql(sample);
      // While it runs: what a consumer prints may come before its commit.
      else await runScript(sample, asExpected);
      await asExpected();
      if (page === 'README.md') await database.query('DROP TABLE patients');
    },
  );

  test('everything the samples wrote is in the stream', async () => {
    const { rows } = await database.query('SELECT count(*)::int AS events FROM postcommit.outbox');
    await expect
      .poll(async () => {
        const stored = await database.query(
          `SELECT coalesce(sum(upper(r) - lower(r)), 0)::int AS events
           FROM postcommit.batches b, unnest(b.positions) r WHERE b.kind = 'new'`,
        );
        return stored.rows;
      })
      .toEqual(rows);
  });

  test('an event that no lane takes is a dead letter, and the command of the page discards it', async () => {
    await database.query(
      "SELECT postcommit.enqueue('elsewhere.a', '{}'), postcommit.enqueue('events.behind', '{}')",
    );
    const letters = async () =>
      (
        await database.query(
          'SELECT subject, outcome, state FROM postcommit.dead_letters WHERE consumer IS NULL',
        )
      ).rows;
    const misrouted = { subject: 'elsewhere.a', outcome: 'misrouted' };
    await expect.poll(letters, { timeout: 10_000 }).toEqual([{ ...misrouted, state: 'parked' }]);
    expect(await runCli(['dead-letters', 'retry', '--outcome', 'misrouted'], env)).toMatchObject({
      code: 0,
      stdout: 'retried 0, misrouted 1, gone 0\n',
    });
    expect(await runCli(['dead-letters', 'discard', '--outcome', 'misrouted'], env)).toMatchObject({
      code: 0,
    });
    expect(await letters()).toEqual([{ ...misrouted, state: 'discarded' }]);
  });

  test('samples are what the compiler of a reader accepts', async () => {
    const compiled = [...runnable, ...ALONE].filter(({ language }) => language === 'ts');
    for (const [i, { text, marks }] of compiled.entries())
      await checkout.write(marks.get('file') ?? `sample-${i}.ts`, text);
    await checkout.write('tsconfig.samples.json', JSON.stringify(TSCONFIG));
    const compiler = checkout.start('node_modules/.bin/tsc -p tsconfig.samples.json', {});
    expect(await compiler.exit, compiler.output).toBe(0);
  });

  async function runSql({ text, marks }: Sample): Promise<void> {
    if (!marks.has('refused')) {
      // One at a time, as psql sends them.
      for (const statement of text.split(/;(?=\s)/)) await database.query(statement);
      return;
    }
    for (const [, statement = '', message = ''] of text.matchAll(/^(.*;)\n-- ERROR: {2}(.*)$/gm))
      await expect(database.query(statement), statement).rejects.toThrow(
        new RegExp(`^${literally(message)}$`),
      );
  }

  async function runScript({ text, marks, line }: Sample, check: () => Promise<void>): Promise<void> {
    const name = `sample-at-${line}.ts`;
    await checkout.write(name, text);
    await using running = checkout.start(`exec node run-sample.mjs ./${name}`, env);
    const printed = marks.get('prints');
    await Promise.all([
      running.prints('<the sample is over>'),
      printed === undefined ? undefined : running.prints(printed),
    ]);
    await check();
  }

  async function lastPosition(): Promise<number> {
    const { rows } = await database.query(
      'SELECT coalesce(max(position), 0)::int AS last FROM postcommit.outbox',
    );
    return rows[0].last;
  }

  async function subjectsSince(position: number): Promise<string[]> {
    const text = 'SELECT subject FROM postcommit.outbox WHERE position > $1 ORDER BY position';
    const { rows } = await database.query<{ subject: string }>(text, [position]);
    return rows.map(({ subject }) => subject);
  }
});

describe('samples that start what they need', () => {
  const runnable = ALONE.filter(({ language, marks }) => language === 'ts' && isRun(marks));

  test.each(runnable.map((sample) => [`${sample.page}:${sample.line}`, sample] as const))('%s', (_, sample) =>
    runAlone(sample),
  );

  // Its tests say what happens without one: test/embedded/containers.int.test.ts.
  test.runIf(existsSync('/var/run/docker.sock'))('in containers', async () => {
    const page = 'docs/testing-your-service.md';
    await checkout.write('containers.ts', sampleMarked(page, 'ts', 'file').text);
    await runAlone(sampleMarked(page, 'ts', 'containers'));
  });

  async function runAlone({ line, text, marks }: Sample): Promise<void> {
    const name = `alone-${line}.ts`;
    await checkout.write(name, text);
    const binary = await findNatsServer();
    await using running = checkout.start(`node ${name}`, { NATS_SERVER_BIN: binary?.path ?? '' });
    await running.prints(marks.get('prints') ?? 'nothing');
    expect(await running.exit, running.output).toBe(0);
  }
});

function isRun(marks: Sample['marks']): boolean {
  return marks.has('run') || marks.has('refused');
}

const TSCONFIG = {
  compilerOptions: {
    target: 'es2023',
    lib: ['es2024', 'esnext.disposable'],
    module: 'nodenext',
    types: ['node'],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
  },
  include: ['sample-*.ts'],
};

function listOf(text: string | undefined): string[] {
  return text === undefined ? [] : text.split(',');
}

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
