import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/embedded/index.ts';
import { sleep } from '../../src/lifecycle/abort.ts';
import { startTcpProxy } from '../../src/testing/index.ts';
import { createWire } from '../chaos/directed/wire.ts';
import { FAITHFUL, insertEvents, openOutbox, runWriters } from '../support/outbox-harness.ts';
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import { query } from '../support/query.ts';
import type { RelayProcess } from '../support/relay-process.ts';
import { scratchName, startPostgres } from '../support/services.ts';
import { startWriters } from '../support/writers.ts';
import { openStage, type Stage } from './stage.ts';

const leaseTtlMs = 2_000;
/** Above what was promised, on a machine that runs other tests too. */
const SLACK_MS = 1_500;

let postgres: EmbeddedPostgres;
let pooler: PgBouncer;

beforeAll(async () => {
  postgres = await startPostgres({ settings: { wal_writer_delay: '10s' } });
  pooler = await startPgBouncer({ port: postgres.port });
});
afterAll(async () => {
  await pooler[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

test('writers and two relays behind PgBouncer: leaders killed, nothing lost, twice or out of place', async () => {
  await using stage = await openStage({ postgresUrl: postgres.url });
  const pooled = { leaseTtlMs, databasePort: pooler.port };
  await using writers = startWriters({ url: pooler.urlOf(stage.databaseUrl), subject: stage.subject });
  const sessionState = watchSessionState(stage);
  let leader = await stage.startRelayProcess(pooled);
  let standby: RelayProcess | undefined;
  try {
    await leader.line('ready');
    for (let kill = 0; kill < 2; kill++) {
      standby = await stage.startRelayProcess(pooled);
      expect(await standby.line('ready')).toMatchObject({ role: 'standby' });
      await stage.untilPublishing({ events: 2_000, share: 0.3 });
      leader.kill('SIGKILL');
      const killedAtMs = performance.now();
      await standby.line('role', ({ role }) => role === 'leader');
      const before = await stage.lastSequence();
      await expect.poll(() => stage.lastSequence(), { timeout: 10_000, interval: 5 }).toBeGreaterThan(before);
      expect(performance.now() - killedAtMs).toBeLessThan(leaseTtlMs + 1_000 + SLACK_MS);
      expect(leader.lines.filter(({ event }) => event === 'pooled')).toHaveLength(1);
      await leader.exit;
      leader = standby;
      standby = undefined;
    }
    await writers.stop();
    await stage.untilDrained();
    expect(await stage.faults()).toEqual([]);
    expect(writers.failures).toEqual([]);
    expect(await sessionState.seen()).toEqual({ parked: false, locks: 0, listeners: 0 });
  } finally {
    await leader[Symbol.asyncDispose]();
    await standby?.[Symbol.asyncDispose]();
  }
});

test.each([
  { relay: 'direct', pooled: false },
  { relay: 'behind it, too', pooled: true },
])('writers behind PgBouncer, the relay $relay: every key in order', async ({ pooled }) => {
  await using database = await scratch();
  await using outbox = await openOutbox({ databaseUrl: database.url });
  const url = pooler.urlOf(database.url);
  const { lines } = await outbox.startRelay(pooled ? { databaseUrl: () => url } : {});
  await runWriters(outbox, { url, writers: 5, events: 300, pauseMs: 5, rollbackShare: 0.1 });
  await outbox.untilDrained();
  expect(await outbox.compare()).toEqual({ committed: 1_500, ...FAITHFUL });
  expect(lines.some(({ event }) => event === 'pooled')).toBe(pooled);
});

test('G2: asynchronous commits through PgBouncer that a crash takes back were not published', async () => {
  await using database = await scratch();
  await using outbox = await openOutbox({ databaseUrl: database.url });
  const url = pooler.urlOf(database.url);
  const { relay } = await outbox.startRelay({ databaseUrl: () => url, leaseTtlMs });
  let confirmed = 0;
  for (let crash = 0; crash < 3; crash++) {
    const crashed = new AbortController();
    const writing = { url, subject: outbox.subject, signal: crashed.signal };
    const writers = Array.from({ length: 3 }, () => writeAsynchronously(writing));
    await outbox.untilStored((await outbox.stored()) + 300);
    await postgres.stop('immediate');
    crashed.abort();
    await postgres.start();
    confirmed += (await Promise.all(writers)).reduce((sum, count) => sum + count, 0);
    await expect.poll(() => relay.status().lanes[0]?.state, { timeout: 15_000 }).toBe('publishing');
    await outbox.untilDrained();
    const comparison = await outbox.compare();
    expect(comparison).toEqual({ committed: comparison.committed, ...FAITHFUL });
  }
  const { committed } = await outbox.compare();
  expect(committed, 'no crash took back a commit: this has shown nothing').toBeLessThan(confirmed);
});

test('G2: a plan that PgBouncer keeps over a crash of the server does not come through', async () => {
  await using database = await scratch();
  await using outbox = await openOutbox({ databaseUrl: database.url });
  const wire = createWire();
  await using proxy = await startTcpProxy({ port: pooler.port, tap: wire.tap });
  const url = pooler.urlOf(database.url);
  await outbox.startRelay({ databaseUrl: () => proxy.through(url), leaseTtlMs });
  const plan = wire.hold('insert into postcommit.batches');
  const writer = await outbox.connect({ url: database.url });
  await writer.query('set synchronous_commit = off');
  await insertEvents(writer, outbox.subject, 3, 'taken back');
  await plan.reached;
  await postgres.stop('immediate');
  await postgres.start();
  plan.release();
  // It came through, or another leadership began without it.
  const epoch = async () => Number((await query(database.url, 'select epoch from postcommit.lease'))[0]?.[0]);
  await expect
    .poll(async () => (await outbox.stored()) > 0 || (await epoch()) > 1, { timeout: 10_000 })
    .toBe(true);
  const another = await outbox.connect({ url: database.url });
  await insertEvents(another, outbox.subject, 2, 'kept');
  await outbox.untilStored(2);
  expect(await outbox.compare()).toEqual({ committed: 2, ...FAITHFUL });
});

/** Looks every few milliseconds for what a backend must not keep behind a pooler. */
function watchSessionState(stage: Stage) {
  const stopping = new AbortController();
  const seen = { parked: false, locks: 0, listeners: 0 };
  const watching = (async () => {
    while (!stopping.signal.aborted) {
      const { rows } = await stage.pool.query(STATE);
      seen.parked ||= rows[0].parked;
      seen.locks = Math.max(seen.locks, rows[0].locks);
      seen.listeners = Math.max(seen.listeners, rows[0].listeners);
      await sleep(20, stopping.signal);
    }
  })();
  return {
    async seen() {
      stopping.abort();
      await watching;
      return seen;
    },
  };
}

const STATE = `select pg_sequence_last_value('postcommit.parked_until') <> 0 as parked,
  (select count(*)::int from pg_locks where locktype = 'advisory' and classid = x'706f7374'::int::oid
     and database = (select oid from pg_database where datname = current_database())) as locks,
  (select count(*)::int from pg_stat_activity where datname = current_database() and application_name = 'postcommit listen')
    as listeners`;

interface Writing {
  readonly url: string;
  readonly subject: string;
  /** Between two statements PgBouncer would hide the crash. */
  readonly signal: AbortSignal;
}

async function writeAsynchronously(writing: Writing): Promise<number> {
  let confirmed = 0;
  while (!writing.signal.aborted) {
    const client = new pg.Client({ connectionString: writing.url });
    client.on('error', () => undefined);
    try {
      await client.connect();
      while (!writing.signal.aborted) {
        // For the session: whoever gets this backend next finds it so.
        await client.query('set synchronous_commit = off');
        await client.query("set default_transaction_isolation = 'repeatable read'");
        await insertEvents(client, writing.subject, 1, `confirmed ${confirmed}`);
        confirmed++;
      }
    } catch {
      // The server went down, or is not up yet.
    } finally {
      await client.end().catch(() => undefined);
    }
  }
  return confirmed;
}

async function scratch(): Promise<AsyncDisposable & { readonly url: string }> {
  const name = scratchName('pooled');
  await query(postgres.url, `create database ${name}`);
  const url = new URL(postgres.url);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    async [Symbol.asyncDispose]() {
      await query(postgres.url, `drop database ${name} with (force)`);
    },
  };
}
