import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { sleep } from '../../src/lifecycle/abort.ts';
import { migrate } from '../../src/migrate/index.ts';
import type { Bench, BenchContext } from '../context.ts';
import { type BenchOutcome, type BenchResult, resultOf } from '../report/result.ts';
import { startRelay } from '../servers/relay-process.ts';
import { openSite } from '../servers/site.ts';

type Harm = 'SIGKILL' | 'SIGSTOP';

interface Relay {
  readonly child: ChildProcess;
  /** Of its last leadership; 0 before the first. */
  epoch: number;
  leads: boolean;
}

const STREAM = 'failover';
const WRITE_EVERY_MS = 5;
const PATIENCE_MS = 30_000;

/**
 * From the signal that ends or freezes the leader to the first event that its successor planned and the stream stored,
 * while a writer commits every few milliseconds. The lease is the default of five seconds.
 */
export async function failover(context: BenchContext): Promise<BenchResult[]> {
  const rounds = context.quick ? 5 : 10;
  const url = new URL(context.databaseUrl);
  url.pathname = `/${STREAM}`;
  await using pool = disposablePool(context.databaseUrl);
  await pool.query(`create database ${STREAM}`);
  await migrate({ url: url.href });
  const connection = await connect({ servers: context.natsUrl });
  const jsm = await jetstreamManager(connection);
  await jsm.streams.add({ name: STREAM, subjects: [`${STREAM}.>`] });
  const results: BenchResult[] = [];
  try {
    for (const harm of ['SIGKILL', 'SIGSTOP'] as const) {
      const times = await measure({ harm, rounds, url: url.href, natsUrl: context.natsUrl, jsm });
      context.note(`failover ${harm}: ${times.map(Math.round).join(', ')} ms`);
      results.push(resultOf(harm, times));
    }
  } finally {
    await jsm.streams.delete(STREAM);
    await connection.close();
    await pool.query(`drop database ${STREAM} with (force)`);
  }
  return results;
}

interface Setting {
  readonly harm: Harm;
  readonly rounds: number;
  readonly url: string;
  readonly natsUrl: string;
  readonly jsm: JetStreamManager;
}

async function measure({ harm, rounds, url, natsUrl, jsm }: Setting): Promise<number[]> {
  await using pool = disposablePool(url);
  const start = () => startRelay(url, natsUrl);
  let relays = [start(), start()];
  const writing = new AbortController();
  const writer = write(pool, writing.signal);
  const times: number[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      await until(() => relays.filter(({ leads }) => leads).length === 1, 'one relay leads');
      await sleep(1_000); // The other one stands by, and has looked around.
      const leader = relays.find(({ leads }) => leads);
      const successor = relays.find(({ leads }) => !leads);
      if (leader === undefined || successor === undefined) throw new Error('no leader, or no standby');
      const harmedAtMs = Date.now();
      leader.child.kill(harm);
      await until(() => successor.leads, 'the standby leads');
      times.push((await firstStoredAt(pool, jsm, successor.epoch)) - harmedAtMs);
      leader.leads = false;
      if (harm === 'SIGSTOP') leader.child.kill('SIGCONT');
      else relays = [successor, start()];
    }
  } finally {
    writing.abort();
    await writer;
    for (const { child } of relays) child.kill('SIGTERM');
    await Promise.all(relays.map(({ child }) => (child.exitCode === null ? once(child, 'exit') : undefined)));
  }
  return times;
}

function startRelay(url: string, natsUrl: string): Relay {
  const child = spawnRelay({ databaseUrl: url, natsUrl, stream: STREAM }, { log: 'pipe' });
  if (child.stdout === null) throw new Error('the log of the relay is not piped');
  const relay: Relay = { child, epoch: 0, leads: false };
  createInterface({ input: child.stdout }).on('line', (text) => {
    const { event, role, epoch } = JSON.parse(text) as { event?: string; role?: string; epoch?: number };
    if (event !== 'role') return;
    relay.leads = role === 'leader';
    if (epoch !== undefined) relay.epoch = epoch;
  });
  return relay;
}

/** When the first event that this epoch planned was stored, by the clock of this host. */
async function firstStoredAt(pool: pg.Pool, jsm: JetStreamManager, epoch: number): Promise<number> {
  let storedAtMs: number | undefined;
  await until(async () => {
    const { rows } = await pool.query(
      `select first_sequence::int as first from postcommit.batches
        where epoch = $1 and last_sequence >= first_sequence order by batch limit 1`,
      [epoch],
    );
    if (rows[0] === undefined) return false;
    const message = await jsm.streams.getMessage(STREAM, { seq: rows[0].first }).catch(() => null);
    storedAtMs = message?.time.getTime();
    return storedAtMs !== undefined;
  }, 'an event of the successor is stored');
  return storedAtMs ?? Number.NaN;
}

async function write(pool: pg.Pool, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pool.query(`insert into postcommit.outbox (subject, payload) values ('${STREAM}.bench', 'x')`);
    await sleep(WRITE_EVERY_MS, signal);
  }
}

async function until(condition: () => Promise<boolean> | boolean, what: string): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline; await sleep(10))
    if (await condition()) return;
  throw new Error(`it did not come about in ${PATIENCE_MS} ms that ${what}`);
}

function disposablePool(url: string): pg.Pool & AsyncDisposable {
  const pool = new pg.Pool({ connectionString: url });
  pool.on('error', () => undefined);
  return Object.assign(pool, { [Symbol.asyncDispose]: () => pool.end() });
}

function resultOf(harm: Harm, times: readonly number[]): BenchResult {
  return {
    name: harm === 'SIGKILL' ? 'takeover-after-sigkill' : 'takeover-after-sigstop-lease-5s',
    unit: 'ms',
    median: median(times),
    spread: spreadOf(times),
    baseline: null,
    ratio: null,
    lost: null,
    twice: null,
    disorder: null,
  };
}
