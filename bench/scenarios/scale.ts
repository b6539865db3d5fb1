import type { Bench, BenchContext } from '../context.ts';
import { holdXmin } from '../load/backlog.ts';
import { insertBacklog } from '../load/numbered-backlog.ts';
import { type BenchOutcome, type Faults, type Line, type Plot, resultOf } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import { startRelay } from '../servers/relay-process.ts';
import { openSite } from '../servers/site.ts';
import { rateOf, readStored } from '../servers/stored.ts';
import { waitForMessages } from '../servers/stream-facts.ts';

const PAYLOAD_BYTES = 256;
/**
 * Lie in front of each backlog and are not counted: a relay that has just started is slower, and ten thousand events would
 * be nothing but its start.
 */
const WARM_UP = 50_000;
/** Written in statements of so many. */
const PORTION = 500_000;
/** The largest takes two minutes, with writing it and reading it back. */
const RUNS_AT_MOST = 3;
const WINDOW_MS = 500;

interface Variant {
  readonly name: string;
  readonly count: number;
  /** A transaction with an id and a snapshot is open from before the first event to after the last. */
  readonly pinned: boolean;
}

interface Run {
  readonly rate: number;
  /** Of its first and its last quarter. */
  readonly quarters: { readonly first: number; readonly last: number };
  /** Of relay and servers together for each event: says what the rate cannot when others use the machine. */
  readonly cpuMicros: number;
  readonly faults: Faults;
  readonly points: Line['points'];
}

/** Whether a backlog that is a hundred times larger is drained at the same rate, and whether the rate lasts. */
export const scale: Bench = {
  summary: 'backlogs of 10 k to 5 M events: the rate must not fall; 10 GB of disk, minutes',
  onlyByName: true,
  async run(context) {
    const variants = variantsOf(context);
    const rounds = Math.min(context.runs, RUNS_AT_MOST);
    const runs = new Map<Variant, Run[]>(variants.map((variant) => [variant, []]));
    for (let i = 1; i <= rounds; i++) {
      for (const variant of variants) {
        const run = await measure(context, variant);
        runs.get(variant)?.push(run);
        const { first, last } = run.quarters;
        context.note(
          `scale ${i}/${rounds} ${variant.name}: ${Math.round(run.rate)} events/s, first quarter ${Math.round(first)}, last ${Math.round(last)}, ${run.cpuMicros.toFixed(1)} us CPU an event`,
        );
      }
    }
    return outcomeOf(variants, (variant) => runs.get(variant) ?? []);
  },
};

function variantsOf({ quick }: BenchContext): Variant[] {
  const counts = quick ? [10_000, 100_000] : [10_000, 100_000, 1_000_000, 5_000_000];
  const plain = counts.map((count): Variant => ({ name: `scale-${nameOf(count)}`, count, pinned: false }));
  const largest = counts.at(-1) ?? 0;
  return [...plain, { name: `scale-${nameOf(largest)}-xmin-held`, count: largest, pinned: true }];
}

function nameOf(count: number): string {
  return count < 1_000_000 ? `${count / 1_000}k` : `${count / 1_000_000}M`;
}

async function measure(context: BenchContext, { count, pinned }: Variant): Promise<Run> {
  await using site = await openSite(context, { name: 'scale' });
  await using _pin = pinned ? await holdXmin(site.url) : undefined;
  const upTo = WARM_UP + count;
  for (let left = upTo; left > 0; left -= PORTION)
    await insertBacklog(site, { count: Math.min(left, PORTION), bytes: PAYLOAD_BYTES });
  await site.pool.query('checkpoint');
  await using relay = await startRelay(site);
  const cpuBefore = relay.atReady.cpuMicros + (await serverMicros(context));
  const { natsUrl, stream } = site;
  // Slower than 10,000 events a second it is not worth waiting for.
  await waitForMessages(natsUrl, { stream, count: upTo, timeoutMs: 30_000 + upTo / 10 });
  const cpuAfter = (await relay.usage()).cpuMicros + (await serverMicros(context));
  const timesMs: number[] = [];
  const faults = await readStored(natsUrl, { stream, upTo, onMessage: (_, atMs) => timesMs.push(atMs) });
  const counted = timesMs.slice(WARM_UP);
  const quarter = (from: number) => rateOf(counted.slice(from, from + count / 4), { warmUp: 0 });
  return {
    rate: rateOf(counted, { warmUp: 0 }),
    quarters: { first: quarter(0), last: quarter((count * 3) / 4) },
    cpuMicros: (cpuAfter - cpuBefore) / upTo,
    faults,
    points: overTime(timesMs),
  };
}

async function serverMicros({ serverCpu }: BenchContext): Promise<number> {
  const { postgresMicros, natsMicros } = await serverCpu();
  return postgresMicros + natsMicros;
}

/** Events a second in windows of half a second, by the time in seconds; the last window is not whole. */
function overTime(timesMs: readonly number[]): Line['points'] {
  const [first = 0] = timesMs;
  const windows: number[] = [];
  for (const atMs of timesMs) {
    const window = Math.floor((atMs - first) / WINDOW_MS);
    windows[window] = (windows[window] ?? 0) + 1;
  }
  const toPoint = (events = 0, i = 0) =>
    [((i + 1) * WINDOW_MS) / 1_000, (events * 1_000) / WINDOW_MS] as const;
  return Array.from(windows.slice(0, -1), toPoint);
}

function outcomeOf(variants: readonly Variant[], runsOf: (variant: Variant) => readonly Run[]): BenchOutcome {
  const rates = (variant: Variant) => ({
    name: variant.name,
    values: runsOf(variant).map(({ rate }) => rate),
  });
  const plain = variants.filter(({ pinned }) => !pinned);
  const [hundred, largest] = [plain.find(({ count }) => count === 100_000), plain.at(-1)];
  const target = { at: 'least', value: 0.9 } as const;
  const results = variants.map((variant) => {
    const against = variant.pinned ? largest : variant.count > 100_000 ? hundred : undefined;
    const compared = against === undefined ? {} : { against: rates(against), target };
    const faults = runsOf(variant).map((run) => run.faults);
    return resultOf({ ...rates(variant), unit: 'events/s', faults, ...compared });
  });
  const quartersOf = (quarter: 'first' | 'last') => ({
    name: `${largest?.name}-${quarter}-quarter`,
    values: largest === undefined ? [] : runsOf(largest).map(({ quarters }) => quarters[quarter]),
  });
  const lasting = { ...quartersOf('last'), unit: 'events/s', against: quartersOf('first'), target };
  const cpu = (variant: Variant | undefined) => ({
    name: `${variant?.name}-cpu-per-event`,
    values: variant === undefined ? [] : runsOf(variant).map(({ cpuMicros }) => cpuMicros),
  });
  const comparison = largest === hundred ? {} : { against: cpu(hundred) };
  const effort = { ...cpu(largest), unit: 'us', ...comparison };
  return { results: [...results, resultOf(lasting), resultOf(effort)], plots: plotsOf(variants, runsOf) };
}

function plotsOf(variants: readonly Variant[], runsOf: (variant: Variant) => readonly Run[]): Plot[] {
  const y = { label: 'events/s' };
  return [
    {
      title: 'Drain rate by backlog',
      x: { label: 'events pending', scale: 'log' },
      y,
      lines: [false, true].map((pinned) => ({
        name: pinned ? 'xmin held' : 'relay',
        points: variants
          .filter((variant) => variant.pinned === pinned)
          .map((variant) => [variant.count, median(runsOf(variant).map(({ rate }) => rate))] as const),
      })),
    },
    {
      title: 'Drain rate over the run',
      x: { label: 'seconds' },
      y,
      lines: variants
        .filter(({ count }) => count >= 100_000)
        .map((variant) => ({ name: variant.name, points: runsOf(variant)[0]?.points ?? [] })),
    },
  ];
}
