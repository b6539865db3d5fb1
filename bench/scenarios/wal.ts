import { sleep } from '../../src/lifecycle/abort.ts';
import type { Bench, BenchContext } from '../context.ts';
import { type CommitLoad, startCommitLoad } from '../load/commit-load.ts';
import { insertOf } from '../load/insert-statement.ts';
import { type BenchOutcome, type BenchResult, type Faults, resultOf } from '../report/result.ts';
import { levelOf, relayedSince } from '../servers/outbox-faults.ts';
import { startRelay } from '../servers/relay-process.ts';
import { openSite, type Site } from '../servers/site.ts';
import { waitForMessages } from '../servers/stream-facts.ts';

/** Events a second. 1,000 for show: the fewer events a plan takes, the more each of them bears of it. */
const RATES = [1_000, 10_000, 30_000] as const;
const ROWS_PER_TRANSACTION = 10;
const CONNECTIONS = 4;
const WARM_UP_MS = 150;
const DRAIN_TIMEOUT_MS = 60_000;
/** The relay parks within it. */
const QUIET_MS = 400;

/** Bytes of WAL. Those of idle servers are a second's, those of a load an event's. */
interface Run {
  readonly relay: boolean;
  readonly rate: number | 'idle';
  readonly bytes: number;
  readonly faults?: Faults;
}

/**
 * WAL that an event costs from its INSERT until it is settled, beside the INSERT alone: transactions of ten 256 B events, on
 * a schedule. A checkpoint comes before each measurement and a warm-up after it, so that images of whole pages (the first
 * change after a checkpoint writes one) are in none; new pages have no image. What an idle server writes is measured once
 * and left in: it is below a thousandth.
 */
export const wal: Bench = {
  summary: 'bytes of WAL for each event with a relay, beside the INSERT alone',
  async run(context) {
    await using site = await openSite(context, { name: 'wal' });
    await using load = await startCommitLoad({
      url: site.url,
      statement: insertOf(site.stream, ROWS_PER_TRANSACTION),
      connections: CONNECTIONS,
    });
    const runs: Run[] = [];
    for (let i = 1; i <= context.runs; i++) {
      const stage = { context, site, load, withIdle: i === 1 };
      const latest = await measure({ ...stage, relay: false });
      await using _relay = await startRelay(site);
      latest.push(...(await measure({ ...stage, relay: true })));
      context.note(`wal ${i}/${context.runs}: ${wordsOf(latest)}`);
      runs.push(...latest);
    }
    return outcomeOf(runs, ratesOf(context));
  },
};

function ratesOf({ quick }: BenchContext): readonly number[] {
  return quick ? [10_000] : RATES;
}

interface Stage {
  readonly context: BenchContext;
  readonly site: Site;
  readonly load: CommitLoad;
  readonly relay: boolean;
  readonly withIdle: boolean;
}

async function measure(stage: Stage): Promise<Run[]> {
  if (stage.relay) await relayedAll(stage.site);
  const runs = stage.withIdle ? [await measureIdle(stage)] : [];
  for (const rate of ratesOf(stage.context)) runs.push(await measureLoad(stage, rate));
  return runs;
}

async function measureIdle({ context, site, relay }: Stage): Promise<Run> {
  await site.pool.query('checkpoint');
  await sleep(QUIET_MS);
  const seconds = context.quick ? 0.25 : 1;
  const before = await writtenBytes(site);
  await sleep(seconds * 1_000);
  return { relay, rate: 'idle', bytes: ((await writtenBytes(site)) - before) / seconds };
}

async function measureLoad({ context, site, load, relay }: Stage, rate: number): Promise<Run> {
  const loop = { kind: 'open', clients: CONNECTIONS, perSecond: rate / ROWS_PER_TRANSACTION } as const;
  await site.pool.query('checkpoint');
  await load.run({ ...loop, forMs: WARM_UP_MS });
  if (relay) await relayedAll(site);
  const since = await levelOf(site);
  const before = await writtenBytes(site);
  const { commits, perSecond } = await load.run({ ...loop, forMs: context.quick ? 300 : 700 });
  if (relay) await relayedAll(site);
  const bytes = ((await writtenBytes(site)) - before) / (commits * ROWS_PER_TRANSACTION);
  if (perSecond < 0.9 * loop.perSecond)
    context.note(
      `wal: only ${Math.round(perSecond * ROWS_PER_TRANSACTION)} of ${rate} events/s were written`,
    );
  return { relay, rate, bytes, ...(relay ? { faults: (await relayedSince(site, since)).faults } : {}) };
}

async function relayedAll(site: Site): Promise<void> {
  const { position } = await levelOf(site);
  await waitForMessages(site.natsUrl, { stream: site.stream, count: position, timeoutMs: DRAIN_TIMEOUT_MS });
}

async function writtenBytes({ pool }: Site): Promise<number> {
  const { rows } = await pool.query<{ bytes: string }>(
    `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') as bytes`,
  );
  return Number(rows[0]?.bytes);
}

function outcomeOf(runs: readonly Run[], rates: readonly number[]): BenchOutcome {
  const of = (relay: boolean, rate: Run['rate']) =>
    runs.filter((run) => run.relay === relay && run.rate === rate);
  return {
    results: [
      ...rates.flatMap((rate) => bytesAt(rate, of)),
      ...[false, true].map((relay) =>
        resultOf({
          name: relay ? 'wal-relay-parked' : 'wal-idle',
          unit: 'B/s',
          values: of(relay, 'idle').map(({ bytes }) => bytes),
        }),
      ),
    ],
  };
}

function bytesAt(
  rate: number,
  runsOf: (relay: boolean, rate: number) => readonly Run[],
): readonly BenchResult[] {
  const name = `wal-at-${rate}`;
  const alone = { name: `${name}-insert-alone`, values: runsOf(false, rate).map(({ bytes }) => bytes) };
  const relayed = runsOf(true, rate);
  const unit = 'B/event';
  return [
    resultOf({
      name,
      unit,
      values: relayed.map(({ bytes }) => bytes),
      against: alone,
      faults: relayed.flatMap(({ faults }) => faults ?? []),
      ...(rate >= 10_000 ? { target: { at: 'most', value: 1.05 } } : {}),
    }),
    resultOf({ ...alone, unit }),
  ];
}

function wordsOf(runs: readonly Run[]): string {
  return runs
    .map(({ relay, rate, bytes }) => `${rate}${relay ? ' with relay' : ''} ${bytes.toFixed(1)} B`)
    .join(', ');
}
