import type { Bench, BenchContext } from '../context.ts';
import { insertBacklog } from '../load/numbered-backlog.ts';
import { type BenchOutcome, type Faults, resultOf } from '../report/result.ts';
import { startRelay } from '../servers/relay-process.ts';
import { openSite } from '../servers/site.ts';
import { rateOf, readStored } from '../servers/stored.ts';
import { waitForMessages } from '../servers/stream-facts.ts';

const PAYLOAD_BYTES = 256;
/** A relay that has just started runs code that is not compiled yet. */
const WARM_UP = 10_000;
const DRAIN_TIMEOUT_MS = 60_000;

/** The events take turns in having these keys. */
const VARIANTS = [
  { name: 'ordering-stream', ordering: 'stream', keys: 10_000 },
  { name: 'ordering-key-of-10', ordering: 'key', keys: 10 },
  { name: 'ordering-key-of-10000', ordering: 'key', keys: 10_000 },
  { name: 'ordering-none', ordering: 'none', keys: 10_000 },
] as const;
type Variant = (typeof VARIANTS)[number];

interface Run {
  readonly rate: number;
  /** Out of the order that is promised: of the stream, of each key, of nothing. */
  readonly faults: Faults;
}

/** How fast a backlog of events with keys is drained in each ordering. */
export const orderings: Bench = {
  summary: 'a backlog in `stream`, `key` (10 and 10,000 keys) and `none` ordering',
  async run(context) {
    const count = WARM_UP + (context.quick ? 5_000 : 20_000);
    const runs = new Map<Variant, Run[]>();
    for (let i = 1; i <= context.runs; i++) {
      for (const variant of context.quick ? VARIANTS.slice(0, 2) : VARIANTS) {
        const run = await drainIn(variant, { context, count });
        runs.set(variant, [...(runs.get(variant) ?? []), run]);
        context.note(
          `orderings ${i}/${context.runs} ${variant.name}: ${Math.round(run.rate)} events/s, ${JSON.stringify(run.faults)}`,
        );
      }
    }
    return outcomeOf(runs);
  },
};

async function drainIn(
  { ordering, keys }: Variant,
  { context, count }: { context: BenchContext; count: number },
): Promise<Run> {
  await using site = await openSite(context, { name: 'orderings' });
  await insertBacklog(site, { count, bytes: PAYLOAD_BYTES, keys });
  await site.pool.query('checkpoint');
  await using _relay = await startRelay(site, { env: { POSTCOMMIT_ORDERING: ordering } });
  const { natsUrl, stream } = site;
  await waitForMessages(natsUrl, { stream, count, timeoutMs: DRAIN_TIMEOUT_MS });
  const timesMs: number[] = [];
  const faults = await readStored(natsUrl, {
    stream,
    upTo: count,
    ...(ordering === 'key' ? { orderOf: (message) => message.headers?.get('Postcommit-Key') ?? '' } : {}),
    onMessage: (_number, atMs) => timesMs.push(atMs),
  });
  // What promises no order breaks none.
  const counted = ordering === 'none' ? { ...faults, disorder: 0 } : faults;
  return { rate: rateOf(timesMs, { warmUp: WARM_UP }), faults: counted };
}

function outcomeOf(runs: ReadonlyMap<Variant, readonly Run[]>): BenchOutcome {
  const ratesOf = (variant: Variant) => (runs.get(variant) ?? []).map(({ rate }) => rate);
  const [whole] = VARIANTS;
  return {
    results: [...runs.keys()].map((variant) =>
      resultOf({
        name: variant.name,
        unit: 'events/s',
        values: ratesOf(variant),
        faults: (runs.get(variant) ?? []).map(({ faults }) => faults),
        ...(variant === whole ? {} : { against: { name: whole.name, values: ratesOf(whole) } }),
      }),
    ),
  };
}
