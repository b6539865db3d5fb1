import type { Bench, BenchContext } from '../context.ts';
import { type ClosedLoop, type CommitLoad, type OpenLoop, startCommitLoad } from '../load/commit-load.ts';
import { insertOf } from '../load/insert-statement.ts';
import { percentileLine, percentileOf } from '../report/percentiles.ts';
import { type BenchOutcome, type BenchResult, type Faults, resultOf } from '../report/result.ts';
import { levelOf, relayedSince } from '../servers/outbox-faults.ts';
import { startRelay } from '../servers/relay-process.ts';
import { openSite, type Site } from '../servers/site.ts';
import { waitForMessages } from '../servers/stream-facts.ts';

/** What an insert into the outbox calls; null: nothing. */
const TRIGGERS = {
  postcommit: 'postcommit.wake_relay',
  'empty-trigger': 'bench_empty',
  'notify-per-commit': 'bench_notify',
  'no-trigger': null,
} as const;
type Variant = keyof typeof TRIGGERS;
const VARIANTS = Object.keys(TRIGGERS) as Variant[];
const LATENCY_VARIANTS: readonly Variant[] = ['postcommit', 'no-trigger', 'notify-per-commit'];

const CLIENTS = [16, 64] as const;
const DRAIN_TIMEOUT_MS = 60_000;
/** Transactions a second of the open loop: far below what the machine can do, or it would measure a queue. */
const OPEN_LOOP_PER_SECOND = 1_000;

/**
 * What the outbox's trigger costs those who write: transactions of one outbox row each, as fast as 16 and 64 clients can,
 * and how long a commit takes at a moderate rate. A relay drains all the while, whatever the trigger is.
 */
export const writers: Bench = {
  summary: 'commits/s and commit latency of those who write events, beside other triggers and none',
  async run(context) {
    await using site = await openSite(context, { name: 'writers' });
    await site.pool.query(OTHER_TRIGGERS);
    await using _relay = await startRelay(site);
    await using load = await startCommitLoad({
      url: site.url,
      statement: insertOf(site.stream),
      connections: Math.max(...CLIENTS),
    });
    const stage = { context, site, load };
    const runs: Run[] = [];
    for (let i = 1; i <= context.runs; i++) {
      for (const clients of CLIENTS) {
        for (const variant of rotated(VARIANTS, i)) runs.push(await measureRate(stage, { variant, clients }));
        context.note(
          `writers ${i}/${context.runs} ${clients} clients: ${wordsOf(runs.slice(-VARIANTS.length))}`,
        );
      }
      for (const variant of rotated(LATENCY_VARIANTS, i)) runs.push(await measureLatency(stage, variant));
    }
    return outcomeOf(runs);
  },
};

/** Another one comes first in each run: what one leaves behind is not always the same one's burden. */
function rotated(variants: readonly Variant[], by: number): Variant[] {
  return variants.map((_, i) => variants[(i + by) % variants.length] as Variant);
}

/** A plain trigger of each kind, as one would write it. */
const OTHER_TRIGGERS = `
  create function bench_empty() returns trigger language plpgsql as $$ begin return null; end $$;
  create function bench_notify() returns trigger language plpgsql as $$
    begin perform pg_catalog.pg_notify('postcommit', ''); return null; end $$`;

interface Stage {
  readonly context: BenchContext;
  readonly site: Site;
  readonly load: CommitLoad;
}

interface Run {
  readonly variant: Variant;
  /** `latency`: the open loop. */
  readonly clients: number | 'latency';
  readonly perSecond: number;
  readonly latenciesMs: readonly number[];
  readonly faults: Faults;
}

function measureRate(
  stage: Stage,
  { variant, clients }: { variant: Variant; clients: number },
): Promise<Run> {
  const times = stage.context.quick ? { warmUpMs: 100, forMs: 150 } : { warmUpMs: 200, forMs: 600 };
  return measure(stage, { variant, clients, loop: { kind: 'closed', clients, ...times } });
}

function measureLatency(stage: Stage, variant: Variant): Promise<Run> {
  const forMs = stage.context.quick ? 200 : 800;
  const loop = { kind: 'open', clients: CLIENTS[0], perSecond: OPEN_LOOP_PER_SECOND, forMs } as const;
  return measure(stage, { variant, clients: 'latency', loop });
}

interface Task {
  readonly variant: Variant;
  readonly clients: Run['clients'];
  readonly loop: ClosedLoop | OpenLoop;
}

async function measure({ site, load }: Stage, { variant, clients, loop }: Task): Promise<Run> {
  await useTrigger(site, variant);
  const since = await levelOf(site);
  const running = load.run(loop);
  // Without a notification it would sleep until its next sweep; once there are rows, it stays awake by itself.
  await site.pool.query(`select pg_notify('postcommit', '')`);
  const { perSecond, latenciesMs } = await running;
  const { position } = await levelOf(site);
  await waitForMessages(site.natsUrl, {
    stream: site.stream,
    count: position,
    timeoutMs: DRAIN_TIMEOUT_MS,
  });
  return { variant, clients, perSecond, latenciesMs, faults: (await relayedSince(site, since)).faults };
}

async function useTrigger({ pool }: Site, variant: Variant): Promise<void> {
  const called = TRIGGERS[variant];
  await pool.query(
    called === null
      ? 'drop trigger if exists wake_relay on postcommit.outbox'
      : `create or replace trigger wake_relay after insert on postcommit.outbox for each statement execute function ${called}();
         alter table postcommit.outbox enable always trigger wake_relay`,
  );
}

function outcomeOf(runs: readonly Run[]): BenchOutcome {
  const of = (variant: Variant, clients: Run['clients']) =>
    runs.filter((run) => run.variant === variant && run.clients === clients);
  const latencies = (variant: Variant) => of(variant, 'latency').map((run) => run.latenciesMs);
  return {
    results: [
      ...CLIENTS.flatMap((clients) => ratesOf((variant) => of(variant, clients), clients)),
      ...[50, 99].flatMap((percent) => latenciesOf(latencies, percent)),
    ],
    plots: [
      {
        title: `Commit latency at ${OPEN_LOOP_PER_SECOND} transactions/s, from the moment they were due, with a relay running`,
        x: { label: 'percentile', scale: 'percentile' },
        y: { label: 'ms', scale: 'log' },
        lines: LATENCY_VARIANTS.map((variant) => percentileLine(variant, latencies(variant).flat())),
      },
    ],
  };
}

function ratesOf(runsOf: (variant: Variant) => readonly Run[], clients: number): BenchResult[] {
  const rates = (variant: Variant) => ({
    name: `writers-${clients}-${variant}`,
    values: runsOf(variant).map(({ perSecond }) => perSecond),
  });
  const measured = (variant: Variant) => ({
    unit: 'commits/s',
    values: rates(variant).values,
    faults: runsOf(variant).map(({ faults }) => faults),
  });
  const empty = rates('empty-trigger');
  const none = rates('no-trigger');
  return [
    resultOf({
      ...measured('postcommit'),
      name: `writers-${clients}`,
      against: empty,
      target: { at: 'least', value: 0.9 },
    }),
    resultOf({ ...measured('postcommit'), name: `writers-${clients}-of-no-trigger`, against: none }),
    resultOf({
      ...measured('notify-per-commit'),
      name: `writers-${clients}-notify-per-commit`,
      against: empty,
    }),
    resultOf({ ...measured('empty-trigger'), name: empty.name }),
    resultOf({ ...measured('no-trigger'), name: none.name }),
  ];
}

/** Against no trigger at all. A median of the runs' percentiles; the plot has them of all samples together. */
function latenciesOf(
  latencies: (variant: Variant) => readonly (readonly number[])[],
  percent: number,
): BenchResult[] {
  const line = (variant: Variant) => ({
    name: `commit-latency-p${percent}-${variant}`,
    values: latencies(variant).map((samples) => percentileOf(samples, percent)),
  });
  const against = line('no-trigger');
  return LATENCY_VARIANTS.map((variant) =>
    resultOf({ ...line(variant), unit: 'ms', ...(variant === 'no-trigger' ? {} : { against }) }),
  );
}

function wordsOf(runs: readonly Run[]): string {
  return runs.map(({ variant, perSecond }) => `${variant} ${Math.round(perSecond)}`).join(', ');
}
