import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { type EmbeddedNats, startNats } from '../../src/embedded/index.ts';
import { sleep } from '../../src/lifecycle/abort.ts';
import { migrate } from '../../src/migrate/index.ts';
import type { BenchContext } from '../context.ts';
import { type BenchResult, median, spreadOf } from '../report/result.ts';
import { processUsage } from '../servers/process-usage.ts';
import { waitForMessages } from '../servers/stream-facts.ts';
import { spawnRelay } from './spawn-relay.ts';

const STREAM = 'footprint';
const SUBJECT = `${STREAM}.order.created`;
const PAYLOAD_BYTES = [256, 4_096];
const RATE = 500;

/** What a relay takes of a machine, and an event of disks: the figures that sizing starts from. */
export async function footprint(context: BenchContext): Promise<BenchResult[]> {
  const seen = new Map<string, { unit: string; values: number[] }>();
  const rounds = context.quick ? 1 : 3;
  for (let round = 1; round <= rounds; round++) {
    const figures = [...(await processes(context)), ...(await disks(context))];
    for (const { name, unit, value } of figures) {
      const entry = seen.get(name) ?? { unit, values: [] };
      entry.values.push(value);
      seen.set(name, entry);
    }
    context.note(
      `footprint ${round}/${rounds}: ${figures.map(({ name, value }) => `${name} ${value.toFixed(1)}`).join(', ')}`,
    );
  }
  return [...seen].map(([name, { unit, values }]) => ({
    name,
    unit,
    median: median(values),
    spread: spreadOf(values),
    baseline: null,
    ratio: null,
    lost: null,
    twice: null,
    disorder: null,
  }));
}

interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
}

interface Site extends AsyncDisposable {
  readonly url: string;
  readonly pool: pg.Pool;
  readonly nats: EmbeddedNats;
}

/** A database and a NATS of its own: it is stopped. */
async function openSite({ databaseUrl }: BenchContext): Promise<Site> {
  const admin = new pg.Pool({ connectionString: databaseUrl });
  const url = new URL(databaseUrl);
  url.pathname = `/${STREAM}`;
  await admin.query(`create database ${STREAM}`);
  await migrate({ url: url.href });
  const [pool, nats] = [new pg.Pool({ connectionString: url.href }), await startNats()];
  pool.on('error', () => undefined); // A connection that is being closed may be ended by the drop.
  return {
    url: url.href,
    pool,
    nats,
    async [Symbol.asyncDispose]() {
      await nats[Symbol.asyncDispose]();
      await pool.end();
      await admin.query(`drop database ${STREAM} with (force)`);
      await admin.end();
    },
  };
}

async function processes(context: BenchContext): Promise<Figure[]> {
  await using site = await openSite(context);
  const idleMs = context.quick ? 5_000 : 20_000;
  const leader = await startRelay(site);
  const standby = await startRelay(site);
  try {
    await sleep(2_000); // The leader parks.
    const [idleLeader, idleStandby] = await Promise.all([cpuOf(leader, idleMs), cpuOf(standby, idleMs)]);
    const connections = await connectionsOf(site);
    const memory = await processUsage(standby.pid ?? 0);
    const busy = await Promise.all([cpuOf(leader, idleMs), write(site, idleMs)]);
    const afterWork = await processUsage(leader.pid ?? 0);
    await site.nats.stop();
    await insert(site, { count: context.quick ? 200_000 : 1_000_000, bytes: 256 });
    await sleep(10_000); // It reads as far as it may, and the gauges have looked.
    const pending = await processUsage(leader.pid ?? 0);
    return [
      { name: 'cpu-standby', unit: '% of a core', value: idleStandby },
      { name: 'cpu-leader-idle', unit: '% of a core', value: idleLeader },
      { name: `cpu-leader-at-${RATE}-events/s`, unit: '% of a core', value: busy[0] },
      { name: 'memory-standby', unit: 'MiB', value: memory.residentMiB },
      { name: `memory-leader-at-${RATE}-events/s`, unit: 'MiB', value: afterWork.residentMiB },
      { name: 'memory-leader-backlog-nats-down', unit: 'MiB', value: pending.peakMiB },
      { name: 'connections-of-both', unit: 'connections', value: connections },
    ];
  } finally {
    await Promise.all([leader, standby].map(end));
  }
}

async function connectionsOf({ pool }: Site): Promise<number> {
  const { rows } = await pool.query(
    `select count(*)::int from pg_stat_activity
      where datname = current_database() and application_name like 'postcommit %'`,
  );
  return rows[0].count;
}

/** Bytes for each event, by the size of its payload. The relay runs: its log and its WAL count as well. */
async function disks(context: BenchContext): Promise<Figure[]> {
  const figures: Figure[] = [];
  const count = context.quick ? 20_000 : 100_000;
  for (const bytes of PAYLOAD_BYTES) {
    await using site = await openSite(context);
    const relay = await startRelay(site);
    try {
      await site.pool.query('checkpoint');
      const before = await lsn(site);
      // A statement for each ten events, as a busy service commits them.
      for (let done = 0; done < count; done += 1_000)
        await Promise.all(Array.from({ length: 4 }, () => insertInTens(site, { count: 250, bytes })));
      await waitForMessages(site.nats.url, { stream: STREAM, count, timeoutMs: 60_000 });
      const { rows } = await site.pool.query(
        `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)::float8 / $2 as wal,
                pg_total_relation_size('postcommit.batches')::float8 / $2 as log,
                (select sum(pg_total_relation_size(relid)) from pg_partition_tree('postcommit.outbox'))::float8 / $2 as outbox`,
        [before, count],
      );
      const stored = await streamBytes(site);
      for (const [name, value] of Object.entries({ ...rows[0], stream: stored / count }))
        figures.push({ name: `${name}-bytes-per-event-of-${bytes}`, unit: 'bytes', value: Number(value) });
    } finally {
      await end(relay);
    }
  }
  return figures;
}

async function lsn({ pool }: Site): Promise<string> {
  return (await pool.query('select pg_current_wal_insert_lsn()::text as at')).rows[0].at;
}

async function streamBytes({ nats }: Site): Promise<number> {
  const connection = await connect({ servers: nats.url });
  const { state } = await (await jetstreamManager(connection)).streams.info(STREAM);
  await connection.close();
  return state.bytes;
}

/** Hexadecimal noise: what repeats would be compressed, and cost nothing. */
const INSERT = `insert into postcommit.outbox (subject, key, type, payload)
  select $1, 'order-' || i % 1000, 'order.created',
         convert_to((select string_agg(md5(random()::text || i || g), '') from generate_series(1, $2::int / 32) g), 'UTF8')
    from generate_series(1, $3::int) i`;

async function insert({ pool }: Site, { count, bytes }: { count: number; bytes: number }): Promise<void> {
  await pool.query(INSERT, [SUBJECT, bytes, count]);
}

async function insertInTens(site: Site, { count, bytes }: { count: number; bytes: number }): Promise<void> {
  for (let done = 0; done < count; done += 10) await insert(site, { count: 10, bytes });
}

/** A transaction for each event, at the intended times whatever the last one took. */
async function write(site: Site, forMs: number): Promise<void> {
  const startedAtMs = performance.now();
  const writes: Promise<void>[] = [];
  for (let i = 0; i < (forMs / 1_000) * RATE; i++) {
    const dueMs = startedAtMs + (i / RATE) * 1_000 - performance.now();
    if (dueMs > 1) await sleep(dueMs);
    const writing = insert(site, { count: 1, bytes: 256 });
    writing.catch(() => undefined); // Thrown below.
    writes.push(writing);
  }
  await Promise.all(writes);
}

async function cpuOf({ pid = 0 }: ChildProcess, forMs: number): Promise<number> {
  const [before, startedAtMs] = [await processUsage(pid), performance.now()];
  await sleep(forMs);
  const after = await processUsage(pid);
  return ((after.cpuMicros - before.cpuMicros) / 1_000 / (performance.now() - startedAtMs)) * 100;
}

async function startRelay({ url, nats }: Site): Promise<ChildProcess> {
  const child = spawnRelay({ databaseUrl: url, natsUrl: nats.url, stream: STREAM }, { log: 'pipe' });
  if (child.stdout === null) throw new Error('the log of the relay is not piped');
  const lines = createInterface({ input: child.stdout });
  await new Promise<void>((resolve) => {
    lines.on('line', (text) => {
      if (text.includes('"event":"ready"')) resolve();
    });
  });
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}
