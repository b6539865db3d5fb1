import type { Bench, BenchContext } from '../context.ts';
import { publishFromMemory } from '../load/publish-from-memory.ts';
import { type BenchOutcome, type Faults, resultOf } from '../report/result.ts';
import { startRelay } from '../servers/relay-process.ts';
import { openSite } from '../servers/site.ts';
import { rateOf, readStored } from '../servers/stored.ts';
import { waitForMessages } from '../servers/stream-facts.ts';

/** One run of one variant. */
interface Run {
  readonly rate: number;
  readonly cpuMicrosPerEvent: number;
  readonly peakMiB: number;
  readonly faults: Faults;
  /** What the servers take for an event meanwhile; 0 where nobody looked. */
  readonly postgresMicros: number;
  readonly natsMicros: number;
}

const PAYLOAD_BYTES = 256;
const DRAIN_TIMEOUT_MS = 120_000;
/** Messages at the beginning that do not count: whoever has just started runs code that is not compiled yet. */
const WARM_UP = 10_000;

/**
 * A backlog of 256 B events in `stream` ordering, beside publishers that need no database. The rate is
 * counted by the server's clock, behind the same number of messages to get warm, alike for all.
 */
export const drain: Bench = {
  summary: 'a backlog to a stream, beside the stock client and beside publishing from memory',
  async run(context) {
    const count = WARM_UP + (context.quick ? 20_000 : 100_000);
    const runs = new Map<Variant, Run[]>(VARIANTS.map((variant) => [variant, []]));
    for (let i = 1; i <= context.runs; i++) {
      for (const variant of VARIANTS) {
        const result = await measure(context, { variant, name: `drain_${i}`, count });
        runs.get(variant)?.push(result);
        context.note(
          `drain ${i}/${context.runs} ${variant}: ${Math.round(result.rate)} events/s, ${result.cpuMicrosPerEvent.toFixed(1)} us CPU an event, ${Math.round(result.peakMiB)} MiB`,
        );
      }
    }
    return outcomeOf((variant) => runs.get(variant) ?? []);
  },
};

const VARIANTS = [
  'relay',
  'stock-client',
  'stock-client-tuned',
  'stock-client-one-by-one',
  'publisher',
] as const;
type Variant = (typeof VARIANTS)[number];

interface Task {
  readonly variant: Variant;
  readonly name: string;
  readonly count: number;
}

function measure(context: BenchContext, { variant, name, count }: Task): Promise<Run> {
  if (variant === 'relay') return drainBacklog(context, { name, count });
  return fromMemory(context, {
    variant,
    name,
    count: variant === 'stock-client-one-by-one' ? 2 * WARM_UP : count,
  });
}

function outcomeOf(runsOf: (variant: Variant) => readonly Run[]): BenchOutcome {
  const rates = (variant: Variant) => ({ name: variant, values: runsOf(variant).map(({ rate }) => rate) });
  const cpu = (variant: Variant) => runsOf(variant).map((run) => run.cpuMicrosPerEvent);
  const own = {
    unit: 'events/s',
    values: rates('relay').values,
    faults: runsOf('relay').map(({ faults }) => faults),
  };
  return {
    results: [
      resultOf({
        ...own,
        name: 'drain-stream',
        against: rates('stock-client'),
        target: { at: 'least', value: 2 },
      }),
      resultOf({ ...own, name: 'drain-stream-of-tuned', against: rates('stock-client-tuned') }),
      resultOf({ ...own, name: 'drain-stream-of-one-by-one', against: rates('stock-client-one-by-one') }),
      resultOf({
        ...own,
        name: 'drain-stream-of-publisher',
        against: rates('publisher'),
        target: { at: 'least', value: 0.55 },
      }),
      ...VARIANTS.filter((variant) => variant !== 'relay').map((variant) =>
        resultOf({
          ...rates(variant),
          unit: 'events/s',
          faults: runsOf(variant).map(({ faults }) => faults),
        }),
      ),
      resultOf({
        name: 'relay-cpu-per-event',
        unit: 'us',
        values: cpu('relay'),
        target: { at: 'most', value: 12 },
      }),
      resultOf({
        name: 'postgres-cpu-per-event',
        unit: 'us',
        values: runsOf('relay').map(({ postgresMicros }) => postgresMicros),
      }),
      resultOf({
        name: 'nats-cpu-per-event',
        unit: 'us',
        values: runsOf('relay').map(({ natsMicros }) => natsMicros),
      }),
      resultOf({ name: 'stock-client-cpu-per-event', unit: 'us', values: cpu('stock-client') }),
      resultOf({
        name: 'relay-memory-peak',
        unit: 'MiB',
        values: runsOf('relay').map(({ peakMiB }) => peakMiB),
      }),
    ],
  };
}

async function drainBacklog(context: BenchContext, { name, count }: Omit<Task, 'variant'>): Promise<Run> {
  await using site = await openSite(context, { name });
  await site.pool.query(
    `insert into postcommit.outbox (subject, payload)
     select $1 || '.bench', convert_to(repeat('x', $2), 'UTF8') from generate_series(1, $3)`,
    [name, PAYLOAD_BYTES, count],
  );
  await site.pool.query('checkpoint');
  await using relay = await startRelay(site);
  const before = await context.serverCpu();
  await waitForMessages(site.natsUrl, { stream: name, count, timeoutMs: DRAIN_TIMEOUT_MS });
  const after = await context.serverCpu();
  const usage = await relay.usage();
  return {
    postgresMicros: (after.postgresMicros - before.postgresMicros) / count,
    natsMicros: (after.natsMicros - before.natsMicros) / count,
    ...(await storedOf(site, 'Postcommit-Position', count)),
    cpuMicrosPerEvent: (usage.cpuMicros - relay.atReady.cpuMicros) / count,
    peakMiB: usage.peakMiB,
  };
}

async function fromMemory({ natsUrl }: BenchContext, { variant, name, count }: Task): Promise<Run> {
  await using published = await publishFromMemory({
    variant: variant as Exclude<Variant, 'relay'>,
    natsUrl,
    stream: name,
    count,
    bytes: PAYLOAD_BYTES,
  });
  return {
    postgresMicros: 0,
    natsMicros: 0,
    ...(await storedOf({ natsUrl, stream: name }, 'Bench-Number', count)),
    cpuMicrosPerEvent: published.cpuMicros / count,
    peakMiB: published.residentMiB,
  };
}

/** What is in the stream, numbered from 1 on. */
async function storedOf(
  { natsUrl, stream }: { natsUrl: string; stream: string },
  header: string,
  count: number,
): Promise<{ rate: number; faults: Faults }> {
  const timesMs: number[] = [];
  const options = {
    stream,
    header,
    upTo: count,
    onMessage: (_: number, atMs: number) => void timesMs.push(atMs),
  };
  const faults = await readStored(natsUrl, options);
  return { rate: rateOf(timesMs, { warmUp: WARM_UP }), faults };
}
