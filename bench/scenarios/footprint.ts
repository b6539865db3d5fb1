import { readdir, readFile } from 'node:fs/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { sleep } from '../../src/lifecycle/abort.ts';
import type { Bench, BenchContext } from '../context.ts';
import { insertBacklog } from '../load/numbered-backlog.ts';
import { type BenchResult, resultOf } from '../report/result.ts';
import { type RelayProcess, startRelay } from '../servers/relay-process.ts';
import { openSite, type Site } from '../servers/site.ts';
import { waitForMessages } from '../servers/stream-facts.ts';

const STREAM = 'footprint';
const RATE = 500;
/** A leader that has nothing to do parks after a moment. */
const PARKS_AFTER_MS = 1_000;
const TIMEOUT_MS = 60_000;
/** A daemon runs for weeks: what it does has long been compiled. */
const WARM_MS = 10_000;

/** What a relay takes of a machine, and an event of disks: the figures that sizing starts from. */
export const footprint: Bench = {
  summary:
    'CPU, memory and connections of relays that stand by, idle and work, and bytes on disk of an event',
  async run(context) {
    await using site = await openSite(context, { name: STREAM });
    await using leader = await startRelay(site);
    await using standby = await startRelay(site);
    const results = await processes(site, { context, leader, standby });
    for (const bytes of [256, 4_096]) results.push(...(await disks(site, { context, bytes })));
    return { results };
  },
};

interface Relays {
  readonly context: BenchContext;
  readonly leader: RelayProcess;
  readonly standby: RelayProcess;
}

/** Idle and busy take turns. */
async function processes(site: Site, { context, leader, standby }: Relays): Promise<BenchResult[]> {
  const windowMs = context.quick ? 700 : 2_000;
  const cpu = { standby: [] as number[], idle: [] as number[], busy: [] as number[] };
  await write(site, context.quick ? windowMs / 2 : WARM_MS);
  for (let i = 1; i <= context.runs; i++) {
    await sleep(PARKS_AFTER_MS);
    const [idle, standing] = await Promise.all([cpuOf(leader, windowMs), cpuOf(standby, windowMs)]);
    const [busy] = await Promise.all([cpuOf(leader, windowMs), write(site, windowMs)]);
    cpu.standby.push(standing);
    cpu.idle.push(idle);
    cpu.busy.push(busy);
    context.note(
      `footprint ${i}/${context.runs}: standby ${standing.toFixed(2)} %, idle ${idle.toFixed(2)} %, busy ${busy.toFixed(1)} %`,
    );
  }
  const share = { unit: '% of a core' };
  const [standing, leading] = await Promise.all([standby.usage(), leader.usage()]);
  return [
    resultOf({ ...share, name: 'cpu-standby', values: cpu.standby }),
    resultOf({ ...share, name: 'cpu-leader-idle', values: cpu.idle, target: { at: 'most', value: 1 } }),
    resultOf({
      ...share,
      name: `cpu-leader-at-${RATE}-events/s`,
      values: cpu.busy,
      target: { at: 'most', value: 10 },
    }),
    resultOf({ name: 'memory-standby', unit: 'MiB', values: [standing.residentMiB] }),
    resultOf({ name: `memory-leader-at-${RATE}-events/s`, unit: 'MiB', values: [leading.residentMiB] }),
    resultOf({ name: 'connections-of-both', unit: 'connections', values: [await connectionsOf(site)] }),
  ];
}

async function connectionsOf({ pool }: Site): Promise<number> {
  const { rows } = await pool.query(
    `select count(*)::int from pg_stat_activity
      where datname = current_database() and application_name like 'postcommit %'`,
  );
  return rows[0].count;
}

/** Percent of a core. An idle relay takes so little that the ticks of /proc/PID/stat would not tell. */
async function cpuOf({ pid }: RelayProcess, forMs: number): Promise<number> {
  const [before, startedAtMs] = [await cpuNanosOf(pid), performance.now()];
  await sleep(forMs);
  const after = await cpuNanosOf(pid);
  return ((after - before) / 1e6 / (performance.now() - startedAtMs)) * 100;
}

/** Of all threads that it has now; those of Node last as long as the process. */
async function cpuNanosOf(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const nanos = threads.map(async (thread) =>
    Number((await readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8')).split(' ')[0]),
  );
  return (await Promise.all(nanos)).reduce((sum, each) => sum + each, 0);
}

/** A transaction for each event, at the intended times whatever the last one took. */
async function write(site: Site, forMs: number): Promise<void> {
  const startedAtMs = performance.now();
  const writes: Promise<void>[] = [];
  for (let i = 0; i < (forMs / 1_000) * RATE; i++) {
    const dueMs = startedAtMs + (i / RATE) * 1_000 - performance.now();
    if (dueMs > 1) await sleep(dueMs);
    const writing = enqueue(site);
    writing.catch(() => undefined); // Thrown below.
    writes.push(writing);
  }
  await Promise.all(writes);
}

async function enqueue({ pool, stream }: Site): Promise<void> {
  await pool.query({
    name: 'enqueue',
    text: 'insert into postcommit.outbox (subject, key, type, payload) values ($1, $2, $3, $4)',
    values: [`${stream}.order.created`, 'order-1', 'order.created', Buffer.alloc(256, 'x')],
  });
}

/** Bytes for each event with a payload of this size. The relays run: their log and their WAL count as well. */
async function disks(
  site: Site,
  { context, bytes }: { context: BenchContext; bytes: number },
): Promise<BenchResult[]> {
  const count = context.quick ? 2_000 : 12_000;
  await site.pool.query('checkpoint');
  const before = await usedBy(site);
  // A statement for each ten events, as a busy service commits them.
  const writers = 4;
  await Promise.all(Array.from({ length: writers }, () => inTens(site, { count: count / writers, bytes })));
  const { natsUrl, stream } = site;
  await waitForMessages(natsUrl, { stream, count: before.messages + count, timeoutMs: TIMEOUT_MS });
  const after = await usedBy(site);
  // Its pages are made many at a time: counted in rows.
  const log = ((after.plans - before.plans) * after.log) / after.plans / count;
  const growth = (name: 'outbox' | 'wal' | 'stream') => (after[name] - before[name]) / count;
  const figures = { outbox: growth('outbox'), log, wal: growth('wal'), stream: growth('stream') };
  return Object.entries(figures).map(([name, value]) =>
    resultOf({ name: `${name}-bytes-per-event-of-${bytes}`, unit: 'bytes', values: [value] }),
  );
}

interface Used {
  readonly messages: number;
  /** Rows of the batch log. */
  readonly plans: number;
  /** The rest in bytes. */
  readonly stream: number;
  readonly outbox: number;
  readonly log: number;
  readonly wal: number;
}

async function usedBy({ pool, natsUrl, stream }: Site): Promise<Used> {
  const { rows } = await pool.query(
    `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as wal,
            pg_total_relation_size('postcommit.batches')::float8 as log,
            (select count(*)::int from postcommit.batches) as plans,
            (select sum(pg_total_relation_size(relid)) from pg_partition_tree('postcommit.outbox'))::float8 as outbox`,
  );
  const connection = await connect({ servers: natsUrl });
  const { state } = await (await jetstreamManager(connection)).streams.info(stream);
  await connection.close();
  return { ...rows[0], messages: state.messages, stream: state.bytes };
}

async function inTens(site: Site, { count, bytes }: { count: number; bytes: number }): Promise<void> {
  for (let done = 0; done < count; done += 10) await insertBacklog(site, { count: 10, bytes, keys: 10 });
}
