import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type EmbeddedNats, type EmbeddedPostgres, freePort } from '../../src/embedded/index.ts';
import { openBus } from '../../src/messaging/index.ts';
import { migrate } from '../../src/migrate/index.ts';
import { startCli } from '../support/cli.ts';
import { startNats, startPostgres } from '../support/services.ts';
import { createCheckout } from './checkout.ts';
import { startPoller, startSlotReader } from './legacy-publishers.ts';
import { BUSINESS, type LegacyWriters, startLegacyWriters } from './legacy-writers.ts';
import { samplesOf } from './pages.ts';

const PAGE = 'docs/operations.md';

// Servers of their own: the page's names are a reader's, and a slot wants logical decoding.
let postgres: EmbeddedPostgres;
let nats: EmbeddedNats;
let admin: pg.Client;
let cleanUp: AsyncDisposableStack;

beforeEach(async () => {
  cleanUp = new AsyncDisposableStack();
  [postgres, nats] = await Promise.all([
    startPostgres({ settings: { wal_level: 'logical' } }).then((server) => cleanUp.use(server)),
    startNats().then((server) => cleanUp.use(server)),
  ]);
  admin = new pg.Client({ connectionString: postgres.url });
  admin.on('error', () => undefined); // A test that fails leaves it to its server's end.
  cleanUp.defer(() => admin.end());
  await admin.connect();
  await admin.query(BUSINESS);
  await migrate({ url: postgres.url });
  const connection = await connect({ servers: nats.url });
  await (await jetstreamManager(connection)).streams.add({ name: 'orders', subjects: ['orders.>'] });
  await connection.close();
});
afterEach(() => cleanUp[Symbol.asyncDispose]());

function sample(move: 'polling' | 'debezium', step: string): string {
  const found = samplesOf(PAGE).filter(({ marks }) => marks.get(move) === step);
  if (found[0] === undefined || found.length > 1)
    throw new Error(`${PAGE} has ${found.length} of ${move} ${step}`);
  return found[0].text;
}

/** A transaction of the page, again while a lock is not to be had, as the page says. */
async function cutOver(text: string): Promise<pg.QueryResult[]> {
  for (let attempt = 1; ; attempt++)
    try {
      return (await admin.query(text)) as unknown as pg.QueryResult[];
    } catch (error) {
      await admin.query('ROLLBACK');
      if ((error as { code?: string }).code !== '55P03' || attempt === 10) throw error;
    }
}

async function startRelay(stream: string) {
  const http = `127.0.0.1:${await freePort()}`;
  const relay = startCli(['relay'], {
    DATABASE_URL: postgres.url,
    NATS_URL: nats.url,
    POSTCOMMIT_STREAM: stream,
    POSTCOMMIT_SUBJECTS: `${stream}.>`,
    POSTCOMMIT_HTTP: http,
  });
  cleanUp.use(relay);
  await relay.line('ready');
  return {
    async untilNothingIsPending() {
      await expect
        .poll(async () => /^postcommit_pending_events (\d+)/m.exec(await metricsOf(http))?.[1], {
          timeout: 20_000,
        })
        .toBe('0');
    },
    async stop() {
      relay.process.kill('SIGTERM');
      expect(await relay.exit).toBe(0);
    },
  };
}

async function metricsOf(http: string): Promise<string> {
  return await (await fetch(`http://${http}/metrics`)).text();
}

const untilCommitted = (writers: LegacyWriters, more: number) => {
  const enough = writers.committed + more;
  return expect.poll(() => writers.committed, { timeout: 30_000 }).toBeGreaterThan(enough);
};

/** Every event of the ledger once, and the versions of each aggregate in order. */
async function expectWhole(): Promise<void> {
  const { rows } = await admin.query('SELECT id FROM ledger ORDER BY id');
  const ids = rows.map(({ id }) => id);
  const stored = async () => {
    await using bus = await openBus({ nats: nats.url });
    const events: { id: string; aggregate: string; version: number }[] = [];
    for await (const event of bus.readStream({ stream: 'orders' }))
      events.push({ id: event.id, ...(event.json() as { aggregate: string; version: number }) });
    return events;
  };
  await expect.poll(async () => (await stored()).length, { timeout: 20_000 }).toBe(ids.length);
  const events = await stored();
  expect(events.map(({ id }) => id).sort()).toEqual(ids);
  const last = new Map<string, number>();
  const disordered = events.filter(({ aggregate, version }) => {
    const before = last.get(aggregate) ?? 0;
    last.set(aggregate, version);
    return version !== before + 1;
  });
  expect(disordered).toEqual([]);
}

describe('from a polling outbox', () => {
  const insert = `INSERT INTO outbox (id, aggregate_id, type, payload) VALUES ($1, $2, 'changed', $3)`;
  const left = async () => (await admin.query(sample('polling', 'left'))).rows[0].left;

  beforeEach(() => admin.query(sample('polling', 'table')));

  test('the cut loses, doubles and reorders nothing beside writers that go on, and neither does the way back', async () => {
    const writers = startLegacyWriters(postgres.url, insert);
    cleanUp.defer(() => writers.stop());
    const poller = await startPoller({ url: postgres.url, nats: nats.url });
    await untilCommitted(writers, 100);
    await cutOver(sample('polling', 'cut-over'));
    await untilCommitted(writers, 50);
    await expect.poll(left, { timeout: 20_000 }).toBe(0);
    await poller.stop();
    expect(poller.published).toBeGreaterThan(0);
    const relay = await startRelay('orders');
    await untilCommitted(writers, 100);
    expect(await left()).toBe(0);

    await cutOver(sample('polling', 'back'));
    await untilCommitted(writers, 50);
    await relay.untilNothingIsPending();
    await relay.stop();
    const again = await startPoller({ url: postgres.url, nats: nats.url });
    await untilCommitted(writers, 50);
    await writers.stop();
    await expect.poll(left, { timeout: 20_000 }).toBe(0);
    await again.stop();
    expect(again.published).toBeGreaterThan(0);
    await expectWhole();
    expect(writers.failures).toEqual([]);
  });

  test('a shadow run is compared by the sample of the page, which sees what is missing', async () => {
    await using checkout = await createCheckout();
    await checkout.write('compare.ts', sample('polling', 'compare'));
    const compare = async () => {
      const script = 'node --conditions=postcommit-source compare.ts';
      await using running = checkout.start(script, { NATS_URL: nats.url });
      expect(await running.exit, running.output).toBe(0);
      return running.output.trim();
    };
    const writers = startLegacyWriters(postgres.url, insert);
    cleanUp.defer(() => writers.stop());
    const poller = await startPoller({ url: postgres.url, nats: nats.url });
    await untilCommitted(writers, 30);
    const relay = await startRelay('shadow');
    await cutOver(`BEGIN; SET LOCAL lock_timeout = '2s'; ${sample('polling', 'shadow')} COMMIT;`);
    await untilCommitted(writers, 100);
    await writers.stop();
    await expect.poll(left, { timeout: 20_000 }).toBe(0);
    await relay.untilNothingIsPending();
    expect(await compare()).toBe('twice 0, missing 0, extra 0');

    await admin.query("SELECT postcommit.enqueue('shadow.changed', '{}')");
    await relay.untilNothingIsPending();
    await admin.query(
      `ALTER TABLE outbox DISABLE TRIGGER outbox_to_postcommit;
       INSERT INTO outbox (aggregate_id, type, payload) VALUES ('a1', 'changed', '{}'), ('a1', 'changed', '{}')`,
    );
    await expect.poll(left, { timeout: 20_000 }).toBe(0);
    await expect.poll(compare, { timeout: 20_000 }).toBe('twice 0, missing 2, extra 1');
    await poller.stop();
    expect(writers.failures).toEqual([]);
  });
});

test('from Debezium: the position of the cut in the WAL parts the events, and nothing is lost, doubled or reordered', async () => {
  await admin.query(sample('debezium', 'table'));
  await admin.query("SELECT pg_create_logical_replication_slot('debezium', 'pgoutput')");
  const insert = `WITH event AS (
      INSERT INTO outbox VALUES ($1, 'order', $2, 'changed', $3) RETURNING id)
    SELECT id FROM event`;
  const writers = startLegacyWriters(postgres.url, insert);
  cleanUp.defer(() => writers.stop());
  const reader = await startSlotReader({ url: postgres.url, nats: nats.url });
  await untilCommitted(writers, 100);
  const results = await cutOver(sample('debezium', 'cut-over'));
  const cut = results.find(({ fields }) => fields.some(({ name }) => name === 'cut'))?.rows[0].cut;
  await untilCommitted(writers, 50);
  const passed = async () => (await admin.query(sample('debezium', 'passed'), [cut])).rows[0].passed;
  await expect.poll(passed, { timeout: 20_000 }).toBe(true);
  await reader.stop();
  expect(reader.published).toBeGreaterThan(0);
  await admin.query(sample('debezium', 'drop'));
  await startRelay('orders');
  await untilCommitted(writers, 50);
  await writers.stop();
  await expectWhole();
  expect(writers.failures).toEqual([]);
});
