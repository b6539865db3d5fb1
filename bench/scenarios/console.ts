import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { sleep } from '../../src/lifecycle/abort.ts';
import type { Bench, BenchContext } from '../context.ts';
import { type BenchOutcome, resultOf } from '../report/result.ts';
import { startRelay } from '../servers/relay-process.ts';
import { openSite } from '../servers/site.ts';

const STREAM = 'console';
const EVENTS_PER_SECOND = 200;
const LOOK_EVERY_MS = 2_000;
/** What Linux counts CPU time in. */
const TICK_MS = 10;

/**
 * CPU of a relay that publishes 200 events a second: while a page of the console is open, which asks every two seconds, and
 * while none is. In shares of a core.
 */
export const consoleOpen: Bench = {
  summary: 'CPU of a relay at 200 events/s, with a page of the console open and without',
  run: compare,
};

async function compare(context: BenchContext): Promise<BenchOutcome> {
  const seconds = context.quick ? 1 : 2;
  await using site = await openSite(context, { name: STREAM });
  const { promise: page, resolve } = Promise.withResolvers<string>();
  await using relay = await startRelay(site, {
    http: '127.0.0.1:0',
    onLine: ({ event, http }) => {
      if (event === 'ready' && typeof http === 'string') resolve(http);
    },
  });
  const stopped = new AbortController();
  const writing = write(site.pool, stopped.signal);
  const shares = { open: [] as number[], closed: [] as number[] };
  try {
    await measure(relay.pid, { seconds: 1, page: await page }); // Warm.
    for (let i = 0; i < context.runs; i++) {
      shares.closed.push(await measure(relay.pid, { seconds }));
      shares.open.push(await measure(relay.pid, { seconds, page: await page }));
    }
  } finally {
    stopped.abort();
    await writing;
  }
  const unit = '% of a core';
  const closed = { name: 'console-closed', values: shares.closed };
  return {
    results: [
      resultOf({ ...closed, unit }),
      resultOf({ name: 'console-open', unit, values: shares.open, against: closed }),
    ],
  };
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
