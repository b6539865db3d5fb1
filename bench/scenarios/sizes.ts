import type { Bench, BenchContext } from '../context.ts';
import { insertBacklog } from '../load/numbered-backlog.ts';
import { publishFromMemory } from '../load/publish-from-memory.ts';
import { type BenchOutcome, type Faults, type Plot, resultOf } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import { startRelay } from '../servers/relay-process.ts';
import { openSite } from '../servers/site.ts';
import { rateOf, readStored, type StoredOptions } from '../servers/stored.ts';
import { countFaults, waitForMessages } from '../servers/stream-facts.ts';

/** So many that a relay takes about half a second. */
const SIZES = [
  { bytes: 64, label: '64B', count: 30_000 },
  { bytes: 256, label: '256B', count: 30_000 },
  { bytes: 1_024, label: '1KiB', count: 18_000 },
  { bytes: 4_096, label: '4KiB', count: 9_000 },
  { bytes: 16_384, label: '16KiB', count: 3_000 },
  { bytes: 65_536, label: '64KiB', count: 1_000 },
  { bytes: 262_144, label: '256KiB', count: 256 },
] as const;

/** What is not counted of each size: a publisher has just started, or comes from another size. */
const WARM_UP_SHARE = 0.25;
const DRAIN_TIMEOUT_MS = 60_000;

interface Task {
  readonly bytes: number;
  readonly label: string;
  readonly count: number;
}

/** Of one size. */
interface Run {
  readonly rate: number;
  readonly faults: Faults;
}

/** Drain rates of events that differ in nothing but the size of their payload. */
export const sizes: Bench = {
  summary: 'a backlog of events of 64 B to 256 KiB, beside the stock client',
  async run(context) {
    const tasks = SIZES.map((size) => ({
      ...size,
      count: context.quick ? Math.ceil(size.count / 6) : size.count,
    }));
    const relay: Run[][] = [];
    const stock: Run[][] = [];
    for (let i = 1; i <= context.runs; i++) {
      relay.push(await drain(context, tasks));
      stock.push(await fromMemory(context, tasks));
      context.note(`sizes ${i}/${context.runs} relay: ${wordsOf(relay.at(-1))}`);
      context.note(`sizes ${i}/${context.runs} stock client: ${wordsOf(stock.at(-1))}`);
    }
    return outcomeOf(relay, stock);
  },
};

function wordsOf(run: readonly Run[] = []): string {
  return SIZES.map(({ label }, i) => `${label} ${Math.round(run[i]?.rate ?? 0)}/s`).join(', ');
}

/** One relay drains all sizes, one after the other: starting it for each would take most of the time. */
async function drain(context: BenchContext, tasks: readonly Task[]): Promise<Run[]> {
  await using site = await openSite(context, { name: 'sizes' });
  for (const task of tasks) await insertBacklog(site, task);
  await site.pool.query('checkpoint');
  await using _relay = await startRelay(site);
  const { natsUrl, stream } = site;
  const all = { stream, upTo: tasks.reduce((sum, { count }) => sum + count, 0) };
  await waitForMessages(natsUrl, { stream, count: all.upTo, timeoutMs: DRAIN_TIMEOUT_MS });
  const stored = await storedIn(natsUrl, { ...all, header: 'Postcommit-Position' });
  let last = 0;
  return tasks.map(({ count }) => {
    const first = last + 1;
    last += count;
    return runOf(stored, { first, last });
  });
}

async function fromMemory({ natsUrl }: BenchContext, tasks: readonly Task[]): Promise<Run[]> {
  const run: Run[] = [];
  for (const { count, bytes, label } of tasks) {
    const stream = `sizes_${label}`;
    const variant = 'stock-client';
    await using _published = await publishFromMemory({ variant, natsUrl, stream, count, bytes });
    const stored = await storedIn(natsUrl, { stream, upTo: count, header: 'Bench-Number' });
    run.push(runOf(stored, { first: 1, last: count }));
  }
  return run;
}

type Stored = readonly { readonly number: number; readonly atMs: number }[];

async function storedIn(natsUrl: string, options: StoredOptions): Promise<Stored> {
  const stored: { number: number; atMs: number }[] = [];
  await readStored(natsUrl, { ...options, onMessage: (number, atMs) => stored.push({ number, atMs }) });
  return stored;
}

/** What became of the events with these numbers. */
function runOf(stored: Stored, { first, last }: { first: number; last: number }): Run {
  const own = stored.filter(({ number }) => number >= first && number <= last);
  const numbers = own.map(({ number }) => number);
  const expected = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const timesMs = own.map(({ atMs }) => atMs);
  return {
    rate: rateOf(timesMs, { warmUp: expected.length * WARM_UP_SHARE }),
    faults: countFaults(numbers, expected),
  };
}

function outcomeOf(relay: readonly Run[][], stock: readonly Run[][]): BenchOutcome {
  const ratesOf = (runs: readonly Run[][], i: number) => runs.map((run) => run[i]?.rate ?? Number.NaN);
  const mediansOf = (runs: readonly Run[][]) => SIZES.map((_, i) => median(ratesOf(runs, i)));
  return {
    results: SIZES.map(({ label }, i) =>
      resultOf({
        name: `size-${label}`,
        unit: 'events/s',
        values: ratesOf(relay, i),
        against: { name: `stock-client-${label}`, values: ratesOf(stock, i) },
        faults: relay.flatMap((run) => run[i]?.faults ?? []),
      }),
    ),
    plots: plotsOf({ relay: mediansOf(relay), 'stock client': mediansOf(stock) }),
  };
}

function plotsOf(medians: Readonly<Record<string, readonly number[]>>): Plot[] {
  const x = { label: 'bytes of payload', scale: 'log' } as const;
  const linesOf = (toY: (rate: number, bytes: number) => number) =>
    Object.entries(medians).map(([name, rates]) => ({
      name,
      points: SIZES.map(({ bytes }, i) => [bytes, toY(rates[i] ?? Number.NaN, bytes)] as const),
    }));
  return [
    {
      title: 'Events a second by size',
      x,
      y: { label: 'events/s', scale: 'log' },
      lines: linesOf((rate) => rate),
    },
    {
      title: 'Payload a second by size',
      x,
      y: { label: 'MB/s' },
      lines: linesOf((rate, bytes) => (rate * bytes) / 1e6),
    },
  ];
}
