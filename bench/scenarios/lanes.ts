import type { Bench, BenchContext } from '../context.ts';
import { insertBacklog } from '../load/numbered-backlog.ts';
import { type BenchOutcome, type Faults, resultOf } from '../report/result.ts';
import { startRelay } from '../servers/relay-process.ts';
import { deleteStream, openSite, type Site } from '../servers/site.ts';
import { rateOf, readStored } from '../servers/stored.ts';
import { waitForMessages } from '../servers/stream-facts.ts';

const PAYLOAD_BYTES = 256;
const LANES = [1, 2, 4, 8];
const QUICK_LANES = [1, 8];
/** A relay that has just started runs code that is not compiled yet. */
const WARM_UP = 10_000;
const DRAIN_TIMEOUT_MS = 60_000;

interface Run {
  /** Of all lanes together. */
  readonly rate: number;
  /** Of each lane. */
  readonly faults: readonly Faults[];
}

/** One relay drains a backlog whose events are spread evenly over one to eight streams. */
export const lanes: Bench = {
  summary: 'a backlog that goes to 1, 2, 4 and 8 streams',
  async run(context) {
    const count = WARM_UP + (context.quick ? 5_000 : 20_000);
    const counts = context.quick ? QUICK_LANES : LANES;
    const runs = new Map<number, Run[]>(counts.map((lanes) => [lanes, []]));
    for (let i = 1; i <= context.runs; i++) {
      for (const lanes of counts) {
        const run = await drainInto(lanes, { context, count });
        runs.get(lanes)?.push(run);
        context.note(`lanes ${i}/${context.runs} ${lanes}: ${Math.round(run.rate)} events/s`);
      }
    }
    return outcomeOf(runs);
  },
};

async function drainInto(
  lanes: number,
  { context, count }: { context: BenchContext; count: number },
): Promise<Run> {
  const streams = Array.from({ length: lanes }, (_, i) => `lanes_${lanes}_${i + 1}`);
  await using site = await openSite(context, { name: 'lanes' });
  try {
    const subjects = streams.map((stream) => `${stream}.bench`);
    await insertBacklog(site, { count, bytes: PAYLOAD_BYTES, subjects });
    await site.pool.query('checkpoint');
    await using _relay = await startRelay(site, { lanes: streams });
    await Promise.all(
      streams.map((stream) =>
        waitForMessages(site.natsUrl, { stream, count: count / lanes, timeoutMs: DRAIN_TIMEOUT_MS }),
      ),
    );
    return await storedIn(site, { streams, count });
  } finally {
    for (const stream of streams) await deleteStream(site.natsUrl, stream);
  }
}

async function storedIn(
  { natsUrl }: Site,
  { streams, count }: { streams: readonly string[]; count: number },
): Promise<Run> {
  const timesMs: number[] = [];
  const faults: Faults[] = [];
  for (const [i, stream] of streams.entries()) {
    faults.push(
      await readStored(natsUrl, {
        stream,
        upTo: count,
        belongs: (number) => (number - 1) % streams.length === i,
        onMessage: (_number, atMs) => timesMs.push(atMs),
      }),
    );
  }
  timesMs.sort((a, b) => a - b);
  return { rate: rateOf(timesMs, { warmUp: WARM_UP }), faults };
}

function outcomeOf(all: ReadonlyMap<number, readonly Run[]>): BenchOutcome {
  const ratesOf = (lanes: number) => (all.get(lanes) ?? []).map(({ rate }) => rate);
  return {
    results: [...all].map(([lanes, runs]) =>
      resultOf({
        name: `lanes-${lanes}`,
        unit: 'events/s',
        values: ratesOf(lanes),
        faults: runs.flatMap(({ faults }) => faults),
        ...(lanes === 1 ? {} : { against: { name: 'lanes-1', values: ratesOf(1) } }),
      }),
    ),
  };
}
