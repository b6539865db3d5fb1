import type { Faults } from '../report/result.ts';
import type { Site } from '../servers/site.ts';
import { lastSequence, type Stored, storedAfter } from '../servers/stored-times.ts';
import { countFaults, waitForMessages } from '../servers/stream-facts.ts';
import { monotonicMicros, wallClockOffsetMicros } from './clock.ts';
import type { ConsumerProcess, Handled } from './consumer-process.ts';
import { createLatencies, type Latencies } from './latencies.ts';
import { type Arrivals, type Issued, intendedMicros, runOpenLoop } from './open-loop.ts';

/** How a write gets to a stream. */
export interface Path {
  readonly site: Site;
  /** One row, with parameters for subject, payload and, if it has a third, key. Prepared once by each connection. */
  readonly insert: string;
}

export interface TimedTask {
  readonly path: Path;
  readonly arrivals: Arrivals;
  /** It consumes the stream meanwhile. */
  readonly consumer?: ConsumerProcess | undefined;
  /** Of the durable, new for each run. */
  readonly durable: string;
}

/** What a run saw. The first three begin at the intended time of the write. */
export interface Timed {
  readonly committed: Latencies;
  readonly stored: Latencies;
  readonly handler: Latencies;
  readonly commitToStored: Latencies;
  readonly commitToHandler: Latencies;
  readonly storedToHandler: Latencies;
  /** How late the writes began: what the load generator itself adds. */
  readonly lateness: Latencies;
  readonly faults: Faults;
}

interface Written extends Issued {
  readonly committedMicros: number;
}

const KEYS = 100;
/** Pool, relay and consumer get warm; it is left out. */
const WARM_UP_MICROS = 300_000;
const PATIENCE_MS = 20_000;
const FILLER = 'x'.repeat(240);

export async function measureLatency({ path, arrivals, consumer, durable }: TimedTask): Promise<Timed> {
  const { url, natsUrl, stream } = path.site;
  const before = await lastSequence(natsUrl, stream);
  await consumer?.start({ url, natsUrl, stream, durable, from: 'new' });
  const written = await write(path, arrivals);
  await waitForMessages(natsUrl, { stream, count: before + written.length, timeoutMs: PATIENCE_MS });
  if (consumer !== undefined) await untilHandled(path.site, written.length);
  const handled = await consumer?.stop();
  const stored = await storedAfter(natsUrl, { stream, sequence: before });
  return {
    ...timesOf(written, stored, handled ?? []),
    faults: faultsOf(written, {
      stored: stored.map(({ number }) => number),
      handled: handled?.map(([number]) => number),
    }),
  };
}

async function write({ site, insert }: Path, arrivals: Arrivals): Promise<Written[]> {
  const { pool, stream } = site;
  const committedMicros: number[] = [];
  const withKey = insert.includes('$3');
  const issued = await runOpenLoop(intendedMicros(arrivals), async (n) => {
    const payload = JSON.stringify({ n, filler: FILLER });
    const values = [`${stream}.bench`, payload, ...(withKey ? [`order-${n % KEYS}`] : [])];
    await pool.query({ name: 'write', text: insert, values });
    committedMicros[n] = monotonicMicros();
  });
  return issued.map((times, n) => ({ ...times, committedMicros: committedMicros[n] ?? Number.NaN }));
}

/** The consumer's effects are in the database: it handled as many, whatever became of its acks. */
async function untilHandled({ pool }: Site, count: number): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline; ) {
    const { rows } = await pool.query('select count(*)::int as effects from effects');
    if (rows[0].effects >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function timesOf(
  written: readonly Written[],
  stored: readonly Stored[],
  handled: readonly Handled[],
): Omit<Timed, 'faults'> {
  const [committed, toStream, handler] = [createLatencies(), createLatencies(), createLatencies()];
  const [commitToStored, commitToHandler] = [createLatencies(), createLatencies()];
  const [storedToHandler, lateness] = [createLatencies(), createLatencies()];
  const offset = wallClockOffsetMicros();
  const warmMicros = (written[0]?.intendedMicros ?? 0) + WARM_UP_MICROS;
  const storedMicros = new Map(stored.map(({ number, atMicros }) => [number, atMicros - offset]));
  const handledMicros = new Map(handled);
  for (const [n, { intendedMicros: intended, issuedMicros, committedMicros }] of written.entries()) {
    if (intended < warmMicros) continue;
    lateness.record(issuedMicros - intended);
    committed.record(committedMicros - intended);
    const [storedAt, handledAt] = [storedMicros.get(n), handledMicros.get(n)];
    if (storedAt === undefined) continue; // Counted as lost.
    toStream.record(storedAt - intended);
    commitToStored.record(storedAt - committedMicros);
    if (handledAt === undefined) continue;
    handler.record(handledAt - intended);
    commitToHandler.record(handledAt - committedMicros);
    storedToHandler.record(handledAt - storedAt);
  }
  return { committed, stored: toStream, handler, commitToStored, commitToHandler, storedToHandler, lateness };
}

/** Of the stream and, if it was consumed, of the handler. */
function faultsOf(
  written: readonly Written[],
  { stored, handled }: { stored: readonly number[]; handled: readonly number[] | undefined },
): Faults {
  const all = written.map((_, n) => n);
  const found = [stored, ...(handled === undefined ? [] : [handled])].map((numbers) => ({
    ...countFaults(numbers, all),
    disorder: disorderOf(numbers, written),
  }));
  const sum = (which: keyof Faults) => found.reduce((total, faults) => total + faults[which], 0);
  return { lost: sum('lost'), twice: sum('twice'), disorder: sum('disorder') };
}

/** Writes of one key, of which the later began when the earlier had committed. Others have no order. */
function disorderOf(numbers: readonly number[], written: readonly Written[]): number {
  const placeOf = new Map(numbers.map((number, place) => [number, place]));
  return numbers.filter((number, place) => {
    const former = written[number - KEYS];
    if (former === undefined || former.committedMicros > (written[number]?.issuedMicros ?? 0)) return false;
    return (placeOf.get(number - KEYS) ?? 0) > place;
  }).length;
}
