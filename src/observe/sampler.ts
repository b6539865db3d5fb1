import { plannedSince } from '../batch-log/activity.ts';
import type { Batch } from '../batch-log/batch.ts';
import { storedMessage } from '../jetstream/index.ts';
import { outboxRows } from '../outbox/recent.ts';
import type { Connections } from './connections.ts';
import { type Backlog, backlogOf, type LaneView, lanesOf } from './lanes.ts';
import { lookAtSystem, type SystemView } from './system.ts';

/** How things stood at a moment. */
export interface Sample {
  /** Unix milliseconds, of this process. */
  readonly atMs: number;
  readonly backlog: number | null;
  readonly oldestAgeMs: number | null;
  /** From the insert (PostgreSQL's clock) to storage (NATS's) of some events stored since the sample before; empty: none. */
  readonly latenciesMs: readonly number[];
}

/** Events that were planned in a second. The log knows them from before anybody looked. */
export interface Second {
  readonly atMs: number;
  readonly events: number;
}

/** The last look, and what looks since somebody began to watch have seen. */
export interface Observation {
  readonly atMs: number;
  readonly system: SystemView;
  readonly lanes: readonly LaneView[];
  readonly backlog: Backlog | null;
  readonly samples: readonly Sample[];
  readonly seconds: readonly Second[];
}

/** Looks every two seconds while somebody watches, and a while longer, so that coming back finds a history. */
export interface Sampler {
  /** The last look, made now if none is fresh. */
  observe(): Promise<Observation>;
  close(): void;
}

export interface SamplerOptions {
  readonly connections: Connections;
  readonly streams: readonly string[];
}

const EVERY_MS = 2_000;
const WATCHED_FOR_MS = 600_000;
const KEPT_MS = 1_800_000;
const LATENCIES_A_LOOK = 4;

export function createSampler({ connections, streams }: SamplerOptions): Sampler {
  let watchedAtMs = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<Observation> | undefined;
  let last: Observation | undefined;
  let samples: readonly Sample[] = [];
  const throughput = createThroughput(connections);
  const latency = createLatency(connections);

  async function look(): Promise<Observation> {
    const system = await lookAtSystem(connections, streams);
    const atMs = Date.now();
    const lanes = lanesOf(system);
    const backlog = backlogOf(system);
    const sample: Sample = {
      atMs,
      backlog: backlog?.events ?? null,
      oldestAgeMs: backlog === null ? null : (backlog.oldestAgeMs ?? 0),
      latenciesMs: await latency(system),
    };
    samples = [...samples.filter((former) => former.atMs > atMs - KEPT_MS), sample];
    last = { atMs, system, lanes, backlog, samples, seconds: await throughput(system) };
    return last;
  }
  function lookOnce(): Promise<Observation> {
    looking ??= look().finally(() => {
      looking = undefined;
    });
    return looking;
  }
  function tick(): void {
    if (performance.now() - watchedAtMs > WATCHED_FOR_MS) {
      clearInterval(timer);
      timer = undefined;
    } else void lookOnce().catch(() => undefined);
  }
  return {
    async observe() {
      watchedAtMs = performance.now();
      timer ??= setInterval(tick, EVERY_MS).unref();
      return last !== undefined && Date.now() - last.atMs < 1.5 * EVERY_MS ? last : lookOnce();
    },
    close: () => clearInterval(timer),
  };
}

/** Per second, of all streams together, kept up to date by the rows that came since the last look. */
function createThroughput(connections: Connections) {
  const seen = new Map<string, number>();
  const events = new Map<number, number>();
  const add = async ({ stream, batch: to }: Pick<Batch, 'stream' | 'batch'>) => {
    const after = seen.get(stream) ?? 0;
    if (after === to) return;
    const found = await connections.database((session) => plannedSince(session, { stream, after, to }));
    if (found.kind !== 'seen') return;
    seen.set(stream, to);
    for (const second of found.value) events.set(second.atMs, (events.get(second.atMs) ?? 0) + second.events);
  };
  return async ({ database }: SystemView): Promise<Second[]> => {
    if (database.kind === 'seen') {
      for (const lane of database.value.lanes) await add(lane);
      for (const atMs of events.keys()) if (atMs < database.value.nowMs - KEPT_MS) events.delete(atMs);
    }
    return [...events].map(([atMs, count]) => ({ atMs, events: count })).sort((a, b) => a.atMs - b.atMs);
  };
}

/** Of a few events, spread over those that were stored since the last look: the message knows when, the row since when. */
function createLatency(connections: Connections) {
  const seen = new Map<string, number>();
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  const places = ({ broker }: SystemView) =>
    (broker.kind === 'seen' ? broker.value.streams : []).flatMap((stream) => {
      if (!('state' in stream)) return [];
      const { name, state } = stream;
      const from = seen.get(name) ?? state.lastSequence;
      seen.set(name, state.lastSequence);
      return spread(from + 1, state.lastSequence).map((sequence) => ({ stream: name, sequence }));
    });
  return async (system: SystemView): Promise<number[]> => {
    // Of what came while nobody looked this moment knows nothing.
    if (performance.now() - lookedAtMs > 5 * EVERY_MS) seen.clear();
    lookedAtMs = performance.now();
    const latencies: number[] = [];
    for (const place of places(system)) {
      const latencyMs = await latencyOf(connections, place);
      if (latencyMs !== undefined) latencies.push(latencyMs);
    }
    return latencies;
  };
}

function spread(from: number, to: number): number[] {
  const count = Math.min(LATENCIES_A_LOOK, Math.max(0, to - from + 1));
  return Array.from({ length: count }, (_, i) => to - Math.floor((i * (to - from + 1)) / count));
}

async function latencyOf(
  { database, broker }: Connections,
  place: { stream: string; sequence: number },
): Promise<number | undefined> {
  const message = await broker((link) => storedMessage(link, place));
  if (message.kind !== 'seen' || message.value?.position == null) return undefined;
  const { position, eventId, storedAtMs } = message.value;
  const rows = await database((session) => outboxRows(session, [position]));
  const row = rows.kind === 'seen' ? rows.value.find((one) => one.eventId === eventId) : undefined;
  return row === undefined ? undefined : Math.max(0, storedAtMs - row.createdAtMs);
}
