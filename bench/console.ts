import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { sleep } from '../src/lifecycle/abort.ts';
import { migrate } from '../src/migrate/index.ts';
import type { BenchContext } from './main.ts';
import { type BenchResult, median, spreadOf } from './report.ts';
import { spawnRelay } from './spawn-relay.ts';

const STREAM = 'console';
const EVENTS_PER_SECOND = 200;
const LOOK_EVERY_MS = 2_000;
/** What Linux counts CPU time in. */
const TICK_MS = 10;

/**
 * CPU of a relay that publishes 200 events a second: while a page of the console is open, which asks every two seconds, and
 * while none is. In shares of a core.
 */
export async function consoleOpen(context: BenchContext): Promise<BenchResult[]> {
  const seconds = context.quick ? 6 : 20;
  const admin = new pg.Pool({ connectionString: context.databaseUrl, max: 1 });
  await admin.query(`create database ${STREAM}`);
  const url = new URL(context.databaseUrl);
  url.pathname = `/${STREAM}`;
  await migrate({ url: url.href });
  const target = { databaseUrl: url.href, natsUrl: context.natsUrl, stream: STREAM };
  const relay = spawnRelay(target, { log: 'pipe', http: '127.0.0.1:0' });
  const pool = new pg.Pool({ connectionString: url.href, max: 1 });
  const stopped = new AbortController();
  try {
    const page = await addressOf(relay.stdout);
    const writing = write(pool, stopped.signal);
    const shares = { open: [] as number[], closed: [] as number[] };
    await measure(relay.pid, { seconds: 3, page }); // Warm.
    for (let i = 0; i < context.runs; i++) {
      shares.closed.push(await measure(relay.pid, { seconds }));
      shares.open.push(await measure(relay.pid, { seconds, page }));
    }
    context.note(`console: closed ${words(shares.closed)}, open ${words(shares.open)} % of a core`);
    stopped.abort();
    await writing;
    return [resultOf('console-closed', shares.closed), resultOf('console-open', shares.open, shares.closed)];
  } finally {
    stopped.abort();
    relay.kill('SIGTERM');
    await pool.end();
    await sleep(500);
    await admin.query(`drop database ${STREAM} with (force)`);
    await admin.end();
  }
}

async function addressOf(log: NodeJS.ReadableStream | null): Promise<string> {
  if (log === null) throw new Error('the relay has no log');
  const { promise, resolve } = Promise.withResolvers<string>();
  createInterface(log).on('line', (line) => {
    const { event, http } = JSON.parse(line) as { event?: string; http?: string };
    if (event === 'ready' && http !== undefined) resolve(http);
  });
  return promise;
}

async function write(pool: pg.Pool, signal: AbortSignal): Promise<void> {
  const everyMs = 50;
  while (!signal.aborted) {
    await pool.query(
      `select postcommit.enqueue('${STREAM}.event', to_jsonb(i)) from generate_series(1, $1::int) i`,
      [(EVENTS_PER_SECOND * everyMs) / 1_000],
    );
    await sleep(everyMs, signal);
  }
}

/** Percent of a core. */
async function measure(
  pid: number | undefined,
  { seconds, page }: { seconds: number; page?: string },
): Promise<number> {
  const before = ticksOf(pid);
  const startedAtMs = performance.now();
  const endMs = startedAtMs + seconds * 1_000;
  for (let since = 0; performance.now() < endMs; ) {
    if (page !== undefined) {
      const response = await fetch(`${page}/api/live?since=${since}`);
      since = ((await response.json()) as { atMs: number }).atMs;
    }
    await sleep(Math.min(LOOK_EVERY_MS, Math.max(0, endMs - performance.now())));
  }
  return ((ticksOf(pid) - before) * TICK_MS * 100) / (performance.now() - startedAtMs);
}

function ticksOf(pid: number | undefined): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

function words(shares: readonly number[]): string {
  return shares.map((share) => share.toFixed(2)).join(', ');
}

function resultOf(name: string, shares: readonly number[], baseline?: readonly number[]): BenchResult {
  return {
    name,
    unit: '% of a core',
    median: median(shares),
    spread: spreadOf(shares),
    baseline: baseline === undefined ? null : 'console-closed',
    ratio: baseline === undefined ? null : median(shares) / median(baseline),
    lost: null,
    twice: null,
    disorder: null,
  };
}
