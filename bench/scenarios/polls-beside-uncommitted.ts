import type pg from 'pg';
import { startPostgres } from '../../src/embedded/index.ts';
import type { BenchContext } from '../context.ts';
import { insertUncommitted } from '../load/backlog.ts';
import { type CommitLoad, startCommitLoad } from '../load/commit-load.ts';
import { insertOf } from '../load/insert-statement.ts';
import { type BenchOutcome, resultOf } from '../report/result.ts';
import { startRelay } from '../servers/relay-process.ts';
import { openSite, type Site } from '../servers/site.ts';

const UNCOMMITTED = { full: 200_000, quick: 20_000 } as const;
/** Enough for the relay to poll at its shortest interval, too few to be what its polls cost. */
const EVENTS_PER_SECOND = 200;
const SETTLE_MS = 250;

/** What the server spent on the relay's polls. */
interface Polls {
  readonly microsPerPoll: number;
  readonly perSecond: number;
}

/**
 * What a poll costs the server while a transaction has 200,000 uncommitted rows in the outbox: the relay's reads, and its
 * listings of locks, by the server's own account (`pg_stat_statements`). That has to be loaded when a
 * server starts, and would be a burden on other measurements: this one has a server of its own.
 */
export async function measurePolls(context: BenchContext): Promise<BenchOutcome> {
  await using postgres = await startPostgres({
    settings: {
      shared_preload_libraries: 'pg_stat_statements',
      'pg_stat_statements.track_planning': 'on',
      shared_buffers: '512MB',
      max_wal_size: '8GB',
    },
  });
  const servers = { ...context, databaseUrl: postgres.url };
  await using opened = new AsyncDisposableStack();
  const [alone, beside] = (await Promise.all(
    ['polls_alone', 'polls_beside'].map(async (name) => opened.use(await openPolled(servers, name))),
  )) as [Polled, Polled];
  const uncommitted = context.quick ? UNCOMMITTED.quick : UNCOMMITTED.full;
  const bulk = await insertUncommitted(beside.site.url, {
    stream: beside.site.stream,
    count: uncommitted,
  });
  const runs = { alone: [] as Polls[], beside: [] as Polls[] };
  const forMs = context.quick ? 400 : 600;
  for (let i = 1; i <= context.runs; i++) {
    runs.alone.push(await measure(alone, forMs));
    runs.beside.push(await measure(beside, forMs));
    context.note(
      `polls ${i}/${context.runs}: ${wordsOf(runs.alone)}; beside ${uncommitted} rows ${wordsOf(runs.beside)}`,
    );
  }
  await bulk.end('rollback');
  const against = { name: 'poll-alone', values: runs.alone.map(({ microsPerPoll }) => microsPerPoll) };
  return {
    results: [
      resultOf({
        name: 'poll-beside-uncommitted',
        unit: 'us',
        values: runs.beside.map(({ microsPerPoll }) => microsPerPoll),
        against,
        target: { at: 'most', value: 1.5 },
      }),
      resultOf({ ...against, unit: 'us' }),
    ],
  };
}

/** A database with a relay and a trickle of events to keep it polling. */
interface Polled extends AsyncDisposable {
  readonly site: Site;
  readonly load: CommitLoad;
}

async function openPolled(servers: BenchContext, name: string): Promise<Polled> {
  await using opened = new AsyncDisposableStack();
  const site = opened.use(await openSite(servers, { name }));
  await site.pool.query('create extension pg_stat_statements');
  opened.use(await startRelay(site));
  const load = opened.use(
    await startCommitLoad({ url: site.url, statement: insertOf(site.stream), connections: 2 }),
  );
  const all = opened.move();
  return { site, load, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

async function measure({ site: { pool }, load }: Polled, forMs: number): Promise<Polls> {
  const loop = { kind: 'open', clients: 2, perSecond: EVENTS_PER_SECOND } as const;
  await load.run({ ...loop, forMs: SETTLE_MS });
  await pool.query('select pg_stat_statements_reset()');
  await load.run({ ...loop, forMs });
  return readPolls(pool, forMs);
}

/** Reads are told by what they select: those of many rows come by COPY, and their values in a statement before it. */
const READS = `query like '%select position, event_id::text, subject, key%' and query like '%pg_sequence_last_value(%'`;

async function readPolls(pool: pg.Pool, forMs: number): Promise<Polls> {
  const { rows } = await pool.query<{ reads: string | null; ms: string | null }>(
    `select sum(calls) filter (where ${READS}) as reads, sum(total_plan_time + total_exec_time) as ms
       from pg_stat_statements
      where dbid = (select oid from pg_database where datname = current_database())
        and (${READS} or query like 'select pg_catalog.set_config(%' or query like '%virtualtransaction%')`,
  );
  const reads = Number(rows[0]?.reads ?? 0);
  if (reads === 0) throw new Error('pg_stat_statements knows of no reads: do they look different now?');
  return { microsPerPoll: (Number(rows[0]?.ms) / reads) * 1_000, perSecond: (reads / forMs) * 1_000 };
}

function wordsOf(polls: readonly Polls[]): string {
  const last = polls.at(-1);
  return `${last?.microsPerPoll.toFixed(0)} us a poll, ${last?.perSecond.toFixed(0)} polls/s`;
}
