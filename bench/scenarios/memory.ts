import { startNats } from '../../src/embedded/index.ts';
import { sleep } from '../../src/lifecycle/abort.ts';
import type { Bench, BenchContext } from '../context.ts';
import { insertBacklog } from '../load/numbered-backlog.ts';
import { type BenchOutcome, type Faults, type Line, resultOf } from '../report/result.ts';
import { watchMemory } from '../servers/memory-over-time.ts';
import { startRelay } from '../servers/relay-process.ts';
import { openSite } from '../servers/site.ts';
import { readStored } from '../servers/stored.ts';
import { waitForMessages } from '../servers/stream-facts.ts';

const STREAM = 'memory';
const PAYLOAD_BYTES = 256;
const DRAIN_TIMEOUT_MS = 90_000;

interface Run {
  readonly readyMiB: number;
  /** Peaks as the kernel keeps them, so that none lies between two looks. */
  readonly pendingMiB: number;
  readonly drainingMiB: number;
  readonly faults: Faults;
  readonly points: Line['points'];
}

/** What a relay takes while NATS is down and events pile up, and then while it drains them. */
export const memory: Bench = {
  summary: 'memory of a relay with 1,000,000 events pending and NATS down, and while it drains them',
  async run(context) {
    const count = context.quick ? 50_000 : 1_000_000;
    // Once: a million events are written, drained and read back.
    const run = await measure(context, count);
    context.note(
      `memory: ready ${Math.round(run.readyMiB)} MiB, NATS down ${Math.round(run.pendingMiB)} MiB, draining ${Math.round(run.drainingMiB)} MiB`,
    );
    return outcomeOf(run, count);
  },
};

/** With a NATS of its own: it is stopped. */
async function measure(context: BenchContext, count: number): Promise<Run> {
  await using nats = await startNats();
  await using site = await openSite({ ...context, natsUrl: nats.url }, { name: STREAM });
  await using relay = await startRelay(site);
  await using looks = watchMemory(relay.pid);
  await nats.stop();
  await insertBacklog(site, { count, bytes: PAYLOAD_BYTES });
  // It reads as far as it may, and its gauges look.
  await sleep(context.quick ? 500 : 5_000);
  const { peakMiB: pendingMiB } = await relay.usage();
  await nats.start();
  await waitForMessages(nats.url, { stream: STREAM, count, timeoutMs: DRAIN_TIMEOUT_MS });
  const { peakMiB: drainingMiB } = await relay.usage();
  const faults = await readStored(nats.url, { stream: STREAM, upTo: count });
  return { readyMiB: relay.atReady.residentMiB, pendingMiB, drainingMiB, faults, points: looks.points };
}

function outcomeOf(run: Run, count: number): BenchOutcome {
  const unit = 'MiB';
  return {
    results: [
      resultOf({ name: 'memory-ready', unit, values: [run.readyMiB] }),
      resultOf({
        name: 'memory-nats-down',
        unit,
        values: [run.pendingMiB],
        target: { at: 'most', value: 200 },
      }),
      resultOf({
        name: 'memory-draining',
        unit,
        values: [run.drainingMiB],
        faults: [run.faults],
      }),
    ],
    plots: [
      {
        title: `Memory of a relay: NATS goes, ${count.toLocaleString('en-US')} events pile up, NATS is back`,
        x: { label: 'seconds' },
        y: { label: 'resident MiB' },
        lines: [{ name: 'relay', points: run.points }],
      },
    ],
  };
}
