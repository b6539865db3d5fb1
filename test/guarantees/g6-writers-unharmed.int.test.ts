import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findPostgres } from '../../src/embedded/find-postgres.ts';
import type { EmbeddedNats, EmbeddedPostgres } from '../../src/embedded/index.ts';
import { auditOutbox } from '../../src/outbox/audit-report.ts';
import { openSession } from '../../src/postgres/session.ts';
import { startNats, startPostgres } from '../support/services.ts';
import { startWriters, type Writers } from '../support/writers.ts';
import { openStage, type Stage } from './stage.ts';

/** Transactions that have to get through each trouble. */
const ENOUGH = 100;

let postgres: EmbeddedPostgres;
let nats: EmbeddedNats;
/** Before PostgreSQL 17 the queue has 8 GB, and a session that does not listen to it for hours fills it, no test. */
let fillable: boolean;
beforeAll(async () => {
  const binDir = process.env.POSTCOMMIT_TEST_POSTGRES_BIN || undefined;
  fillable = Number.parseInt((await findPostgres({ binDir })).version, 10) >= 17;
  const settings: Record<string, string> = fillable ? { max_notify_queue_pages: '64' } : {};
  [postgres, nats] = await Promise.all([startPostgres({ settings }), startNats()]);
});
afterAll(async () => {
  for (const server of [nats, postgres]) await server?.[Symbol.asyncDispose]();
});

const openOwnStage = () => openStage({ postgresUrl: postgres.url, natsUrl: nats.url });

/** Business transactions that fail by the first lock they would wait for longer than 100 ms. */
function startImpatient(stage: Stage, more = ''): Writers {
  const url = new URL(stage.databaseUrl);
  url.searchParams.set('options', `-c lock_timeout=100ms ${more}`);
  return startWriters({ url: url.href, subject: stage.subject, pauseMs: 4 });
}

async function getThrough(writers: Writers): Promise<void> {
  const before = writers.commits;
  await expect.poll(() => writers.commits, { timeout: 15_000, interval: 5 }).toBeGreaterThan(before + ENOUGH);
  expect(writers.failures).toEqual([]);
}

async function drain(stage: Stage, ...writers: readonly Writers[]): Promise<void> {
  for (const one of writers) await one.stop();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect(writers.flatMap(({ failures }) => failures)).toEqual([]);
}

test('G6: without a relay, with one killed, and with NATS down', async () => {
  await using stage = await openOwnStage();
  await using writers = startImpatient(stage);
  await getThrough(writers);
  await using doomed = await stage.startRelayProcess();
  await doomed.line('ready');
  await stage.untilPublishing({ events: 1_000, share: 0.3 });
  doomed.kill('SIGKILL');
  await getThrough(writers);
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  nats.kill('SIGKILL');
  await relay.until('paused');
  await getThrough(writers);
  await nats.start();
  await relay.until('publishing');
  await drain(stage, writers);
});

test('G6: with the queue of notifications full, and with notifications off', async () => {
  await using stage = await openOwnStage();
  // Nobody takes this flag down: every writer is asked to notify.
  await stage.pool.query(`select setval('postcommit.parked_until', extract(epoch from now())::int8 + 3600)`);
  await using filled = new AsyncDisposableStack();
  if (fillable) {
    filled.use(await fillNotifyQueue(stage));
    await expect(stage.pool.query("select pg_notify('other', '')")).rejects.toThrow('too many notifications');
  }
  await using writers = startImpatient(stage);
  await getThrough(writers);
  await using silent = startImpatient(stage, '-c postcommit.notify=off');
  await getThrough(silent);
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  await drain(stage, writers, silent);
});

/** Notifications that a session has not read, for it is in a transaction. Stays full until it is disposed of. */
async function fillNotifyQueue(stage: Stage): Promise<AsyncDisposable> {
  const deaf = new pg.Client({ connectionString: stage.databaseUrl });
  await deaf.connect();
  await deaf.query('listen other');
  await deaf.query('begin');
  await deaf.query('select 1');
  const payload = 'x'.repeat(7_000);
  const notify = (text: string) => stage.pool.query("select pg_notify('other', $1)", [text]).then(() => true);
  for (const size of [7_000, 10, 0])
    for (let i = 0; await notify(`${i} ${payload.slice(0, size)}`).catch(() => false); i++);
  return { [Symbol.asyncDispose]: () => deaf.end() };
}

test('G6: with the ring turning, leaves being emptied, and audits running', async () => {
  await using stage = await openOwnStage();
  await using relay = await stage.startRelay({ retentionMs: 1_000, segmentBytes: 32_768 });
  await relay.until('publishing');
  await using writers = startImpatient(stage);
  const auditing = await openSession({ url: stage.databaseUrl, name: 'audit' });
  const emptied = () => relay.lines.filter(({ event }) => event === 'segment-emptied').length;
  let audits = 0;
  while (emptied() < 1) {
    const { uncovered, reused, shared, plannedTwice } = await auditOutbox(auditing, () => undefined);
    expect([uncovered, reused, shared, plannedTwice].map(({ count }) => count)).toEqual([0, 0, 0, 0]);
    audits++;
  }
  await auditing.close();
  await getThrough(writers);
  await writers.stop();
  expect(writers.failures).toEqual([]);
  expect(audits).toBeGreaterThan(2);
});
