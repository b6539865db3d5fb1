import { sleep } from '../../src/lifecycle/abort.ts';
import { markAsSent, TEXTBOOK_TABLE } from '../baselines/textbook-table.ts';
import type { Bench, BenchContext } from '../context.ts';
import { insertSteadily } from '../load/steady-inserts.ts';
import { type BenchOutcome, type Line, resultOf } from '../report/result.ts';
import { startRelay } from '../servers/relay-process.ts';
import { openSite, type Site } from '../servers/site.ts';
import { waitForMessages } from '../servers/stream-facts.ts';

const PER_SECOND = 3_000;
const SAMPLE_MS = 250;
const TIMEOUT_MS = 30_000;

/**
 * `-vacuumed`: every second, as an autovacuum would that never falls behind; the server's own looks once a minute.
 * `-retention`: keeps events for 2 s.
 */
type Variant = 'postcommit' | 'postcommit-retention' | 'textbook' | 'textbook-vacuumed';
const MEASURED: readonly Variant[] = ['postcommit', 'textbook', 'textbook-vacuumed'];
const PICTURED: readonly Variant[] = [...MEASURED, 'postcommit-retention'];

/** One variant's tables after some seconds of events. */
interface Run {
  readonly variant: Variant;
  /** Rows updated or deleted for each event: vacuumed since or not, each was a dead one. */
  readonly deadPerEvent: number;
  /** The same in all tables of the schema. */
  readonly deadInAllPerEvent: number;
  /** Tables and indexes: the outbox, and what else it needs. */
  readonly bytesPerEvent: number;
  /** Their size over time, in seconds and MiB. */
  readonly sizes: Line['points'];
}

/**
 * What events leave behind in the database, beside an outbox that marks each row as sent. Nothing is timed, so the
 * variants run at the same time, each in a database of its own, at the same pace.
 */
export const bloat: Bench = {
  summary: 'dead tuples and table size for each event, beside an outbox that marks rows as sent',
  async run(context) {
    const runs: Run[] = [];
    for (let i = 1; i <= context.runs; i++) {
      const latest = await sideBySide(context, { variants: MEASURED, seconds: context.quick ? 1 : 2 });
      runs.push(...latest);
      context.note(`bloat ${i}/${context.runs}: ${latest.map(wordsOf).join(', ')}`);
    }
    const pictured = context.quick ? runs : await sideBySide(context, { variants: PICTURED, seconds: 8 });
    return outcomeOf(runs, pictured);
  },
};

interface Task {
  readonly variants: readonly Variant[];
  readonly seconds: number;
}

function sideBySide(context: BenchContext, { variants, seconds }: Task): Promise<Run[]> {
  return Promise.all(variants.map((variant) => measure(context, { variant, seconds })));
}

async function measure(
  context: BenchContext,
  { variant, seconds }: { variant: Variant; seconds: number },
): Promise<Run> {
  const ours = !variant.startsWith('textbook');
  await using site = await openSite(context, { name: `bloat_${variant.replace('-', '_')}`, migrated: ours });
  if (!ours) await site.pool.query(TEXTBOOK_TABLE);
  const table = ours ? 'postcommit.outbox' : 'outbox';
  const sizeAtFirst = await sizeOf(site);
  const over = new AbortController();
  const sizes = sampleSizes(site, over.signal);
  const relaying = ours ? await relayOurs(site, variant) : await relayTextbook(site, variant);
  const count = await insertSteadily(site.url, {
    table,
    stream: site.stream,
    perSecond: PER_SECOND,
    seconds,
  });
  await relaying.finish(count);
  over.abort();
  const dead = await deadOf(site, count);
  return {
    variant,
    deadPerEvent: dead.outbox / count,
    deadInAllPerEvent: dead.all / count,
    bytesPerEvent: ((await sizeOf(site)) - sizeAtFirst) / count,
    sizes: (await sizes).map(([second, bytes]) => [second, (bytes - sizeAtFirst) / 2 ** 20] as const),
  };
}

interface Relaying {
  /** Waits until so many events were relayed, and ends it: a session that ends hands in its statistics. */
  finish(count: number): Promise<void>;
}

async function relayOurs(site: Site, variant: Variant): Promise<Relaying> {
  const env: Record<string, string> =
    variant === 'postcommit-retention' ? { POSTCOMMIT_RETENTION: '2s' } : {};
  const relay = await startRelay(site, { env });
  return {
    async finish(count) {
      await waitForMessages(site.natsUrl, { stream: site.stream, count, timeoutMs: TIMEOUT_MS });
      await relay.stop();
    },
  };
}

async function relayTextbook(site: Site, variant: Variant): Promise<Relaying> {
  const over = new AbortController();
  const marking = markAsSent(site.url, over.signal);
  const vacuuming = variant === 'textbook-vacuumed' ? vacuumSteadily(site, over.signal) : Promise.resolve();
  const unsent = async () => {
    const { rows } = await site.pool.query('select from outbox where sent_at is null limit 1');
    return rows.length > 0;
  };
  return {
    async finish() {
      const deadlineMs = performance.now() + TIMEOUT_MS;
      while ((await unsent()) && performance.now() < deadlineMs) await sleep(SAMPLE_MS);
      over.abort();
      await Promise.all([marking, vacuuming]);
    },
  };
}

async function vacuumSteadily({ pool }: Site, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pool.query('vacuum outbox');
    await sleep(1_000, signal);
  }
}

async function sampleSizes(site: Site, signal: AbortSignal): Promise<[second: number, bytes: number][]> {
  const samples: [number, number][] = [];
  const startMs = performance.now();
  while (!signal.aborted) {
    samples.push([(performance.now() - startMs) / 1_000, await sizeOf(site)]);
    await sleep(SAMPLE_MS, signal);
  }
  return samples;
}

/** Of all tables that are not the server's own, with their indexes. */
async function sizeOf({ pool }: Site): Promise<number> {
  const { rows } = await pool.query<{ bytes: string }>(
    `select coalesce(sum(pg_total_relation_size(relid)), 0) as bytes from pg_stat_user_tables`,
  );
  return Number(rows[0]?.bytes);
}

/** Waits until the server's statistics have heard of all inserts. */
async function deadOf({ pool }: Site, count: number): Promise<{ outbox: number; all: number }> {
  const deadlineMs = performance.now() + TIMEOUT_MS;
  for (;;) {
    const { rows } = await pool.query<{ inserted: string; outbox: string; all: string }>(
      `select sum(n_tup_ins) filter (where relname like 'outbox%') as inserted,
              sum(greatest(n_dead_tup, n_tup_upd + n_tup_del)) filter (where relname like 'outbox%') as outbox,
              sum(greatest(n_dead_tup, n_tup_upd + n_tup_del)) as all from pg_stat_user_tables`,
    );
    const [row] = rows;
    if (Number(row?.inserted) >= count) return { outbox: Number(row?.outbox), all: Number(row?.all) };
    if (performance.now() > deadlineMs) throw new Error('the statistics do not know of all inserts');
    await sleep(SAMPLE_MS);
  }
}

function outcomeOf(runs: readonly Run[], pictured: readonly Run[]): BenchOutcome {
  const values = (variant: Variant, figure: (run: Run) => number) =>
    runs.filter((run) => run.variant === variant).map(figure);
  const dead = (variant: Variant) => ({
    name: `dead-tuples-${variant}`,
    unit: 'per event',
    values: values(variant, (run) => run.deadPerEvent),
  });
  const bytes = (variant: Variant) => ({
    name: `table-bytes-${variant}`,
    unit: 'B/event',
    values: values(variant, (run) => run.bytesPerEvent),
  });
  return {
    results: [
      resultOf({ ...dead('postcommit'), name: 'dead-tuples', target: { at: 'most', value: 0 } }),
      resultOf({
        ...dead('postcommit'),
        name: 'dead-tuples-with-lease-and-log',
        values: values('postcommit', (run) => run.deadInAllPerEvent),
      }),
      resultOf(dead('textbook')),
      resultOf({ ...bytes('postcommit'), name: 'table-bytes', against: bytes('textbook') }),
      resultOf(bytes('textbook')),
      resultOf(bytes('textbook-vacuumed')),
    ],
    plots: [
      {
        title: `Tables and indexes while ${PER_SECOND} events/s of 256 B pass through`,
        x: { label: 'seconds' },
        y: { label: 'MiB' },
        lines: pictured.map(({ variant, sizes }) => ({ name: variant, points: sizes })),
      },
    ],
  };
}

function wordsOf({ variant, deadPerEvent, bytesPerEvent }: Run): string {
  return `${variant} ${deadPerEvent.toFixed(2)} dead, ${Math.round(bytesPerEvent)} B an event`;
}
