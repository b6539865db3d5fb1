import type { BatchKind } from '../batch-log/batch.ts';
import { type PlanOutcome, planIfLeading } from '../batch-log/plan.ts';
import { lastBatch as readLastBatch } from '../batch-log/recover.ts';
import { messageOf, PostcommitError } from '../errors.ts';
import type { StoredEvent } from '../event.ts';
import { type BrokerLink, createSubjectFilter, type StreamState } from '../jetstream/index.ts';
import type { Look } from '../outbox/capture.ts';
import { type PositionRanges, rangesOf } from '../postgres/position-ranges.ts';
import type { Session } from '../postgres/session.ts';
import { firstUnacceptable } from './acceptable.ts';
import { createChain } from './chain.ts';
import type { LaneMeter } from './lane-meter.ts';
import type { LaneState } from './lane-state.ts';
import type { LaneOptions } from './options.ts';
import { prepareStream } from './prepare-stream.ts';
import { type Reconciliation, reconcile } from './reconcile.ts';

/**
 * One stream: what a look brought is planned in the batch log, then published, then settled by its acknowledgements;
 * in doubt the stream is read back and compared with the log.
 *   L1  Nothing is published before its batch row is committed.
 * (L2 to L4 are the chain's.)
 */
export interface Lane {
  readonly stream: string;
  readonly state: LaneState;
  /** Planned and not settled. */
  readonly pending: number;
  /** Highest sequence known to hold our message; null before the first. */
  readonly settledTo: number | null;
  readonly oldest: StoredEvent | undefined;
  /** True while little enough is in flight to plan more. */
  hasRoom(): boolean;
  /** Waits until a condition on this lane holds, or the signal aborts. */
  until(condition: () => boolean, signal: AbortSignal): Promise<void>;
  /** One attempt to leave doubt or a pause. `waiting`: try again after `retryAtMs`. `fenced`: step down. */
  clear(signal: AbortSignal): Promise<'flowing' | 'waiting' | 'fenced'>;
  readonly retryAtMs: number;
  /** True when something in a look can never be stored: the lane has paused, and the look must not be accepted. */
  refuses(look: Look): boolean;
  /** Plans and publishes. */
  plan(look: Look): Promise<PlanOutcome>;
  /** With nothing in flight: is the stream's last sequence what it should be? If not, the lane is in doubt. */
  probe(): Promise<void>;
  close(): void;
}

export interface LaneContext {
  readonly options: LaneOptions;
  readonly session: Session;
  readonly link: BrokerLink;
  readonly epoch: number;
  readonly source: string;
  readonly provision: boolean;
  readonly meter: LaneMeter;
  readonly wake: () => void;
}

/** As much has to be read back after a crash. */
const MAX_PENDING = 2_048;
const MAX_PENDING_BYTES = 16 * 1024 * 1024;

interface Reading {
  readonly readTo: number;
  readonly openFrom: number;
}

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over the lane's state, its parts named below.
export function createLane(context: LaneContext): Lane {
  const { options, session, link, epoch, source, meter, wake } = context;
  const { stream, ordering } = options;
  const watchers = new Set<() => void>();
  const check = () => {
    for (const watcher of watchers) watcher();
  };
  const takes = createSubjectFilter(options.subjects);
  const chain = createChain({
    link,
    stream,
    source,
    meter,
    onSettled: check,
    wake() {
      check();
      wake();
    },
  });
  let known: StreamState | undefined;
  let lastBatch = 0;
  /** Up to where the last comparison with the stream went. */
  let decided: number | undefined;
  /** Of the row before: `again` and `found` rows repeat it, a read may be under way. */
  let reading: Reading = { readTo: 0, openFrom: 1 };

  interface Row extends Reading {
    readonly first: number;
    readonly last: number;
    readonly positions: PositionRanges;
  }

  async function write(kind: BatchKind, row: Row): Promise<PlanOutcome> {
    if (known === undefined) throw new Error('planned before the stream was looked up');
    const outcome = await planIfLeading(session, {
      stream,
      incarnation: known.created,
      batch: lastBatch + 1,
      epoch,
      ordering,
      kind,
      firstSequence: row.first,
      lastSequence: row.last,
      settledTo: chain.settledTo,
      positions: row.positions,
      parked: [],
      readTo: row.readTo,
      openFrom: row.openFrom,
    });
    if (outcome === 'planned') {
      lastBatch += 1;
      reading = row;
    }
    return outcome;
  }

  async function planEvents(
    kind: BatchKind,
    events: readonly StoredEvent[],
    read: Reading,
  ): Promise<PlanOutcome> {
    const positions = rangesOf(events.map((event) => event.position));
    const { readTo, openFrom } = read;
    const row = { first: chain.end + 1, last: chain.end + events.length, positions, readTo, openFrom };
    const outcome = await write(kind, row); // L1
    if (outcome === 'planned') chain.append(events, { first: kind === 'new' });
    return outcome;
  }

  /** Takes over what a reconciliation found, and writes down what it decided. */
  async function adopt(result: Reconciliation): Promise<PlanOutcome> {
    chain.restart(result.decided, result.settledTo);
    decided = result.decided;
    if (result.last !== undefined) {
      lastBatch = result.last.batch;
      reading = result.last;
    }
    chain.append(result.resend, { first: false });
    meter.reconciled(result);
    for (const { position, sequence } of result.found) {
      const { readTo, openFrom } = reading;
      const row = { first: sequence, last: sequence, positions: [position, position], readTo, openFrom };
      if ((await write('found', row)) === 'fenced') return 'fenced';
    }
    return result.displaced.length === 0 ? 'planned' : planEvents('again', result.displaced, reading);
  }

  async function compare(signal: AbortSignal): Promise<'flowing' | 'waiting' | 'fenced'> {
    const last = await readLastBatch(session, stream);
    const planned = last !== undefined;
    const prepared = await prepareStream(link, options, { provision: context.provision, planned, signal });
    if (prepared.kind === 'unfit') {
      chain.pause(prepared.pause);
      return 'waiting';
    }
    known = prepared.state;
    const before = decided === undefined ? undefined : { decided, settledTo: chain.settledTo };
    const result = await reconcile({ session, link, stream: known, source, last, known: before, signal });
    if (result.kind === 'paused') {
      chain.pause(result.pause);
      return 'waiting';
    }
    if ((await adopt(result.reconciliation)) === 'fenced') return 'fenced';
    chain.flow();
    return 'flowing';
  }

  return {
    stream,
    get state() {
      return chain.state;
    },
    get pending() {
      return chain.pending;
    },
    get settledTo() {
      return chain.settledTo;
    },
    get oldest() {
      return chain.oldest;
    },
    get retryAtMs() {
      return chain.retryAtMs;
    },
    hasRoom: () => chain.pending < MAX_PENDING && chain.pendingBytes < MAX_PENDING_BYTES,
    until(condition, signal) {
      if (condition() || signal.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const watcher = () => {
          if (!condition() && !signal.aborted) return;
          watchers.delete(watcher);
          signal.removeEventListener('abort', watcher);
          resolve();
        };
        watchers.add(watcher);
        signal.addEventListener('abort', watcher, { once: true });
      });
    },
    async clear(signal) {
      if (chain.state.kind === 'flowing') return 'flowing';
      if (!link.connected) {
        chain.pause({
          outcome: 'unavailable',
          reason: 'the connection to NATS is lost; it is being restored',
        });
        return 'waiting';
      }
      if (performance.now() < chain.retryAtMs) return 'waiting';
      try {
        return await compare(signal);
      } catch (error) {
        // Only the broker's outages are values here; the database's end the term.
        if (!(error instanceof PostcommitError) || error.code !== 'broker-unreachable') throw error;
        chain.pause({ outcome: 'unavailable', reason: messageOf(error) });
        return 'waiting';
      }
    },
    refuses({ events }) {
      if (events.length === 0 || known === undefined) return false;
      const limits = { lane: options, takes, stream: known, maxPayload: link.maxPayload };
      const pause = firstUnacceptable(events, limits);
      if (pause !== undefined) chain.pause(pause);
      return pause !== undefined;
    },
    plan: ({ events, readTo, openFrom }) => planEvents('new', events, { readTo, openFrom }),
    async probe() {
      if (chain.state.kind !== 'flowing' || chain.pending > 0 || !link.connected) return;
      const expected = chain.end;
      const prepared = await prepareStream(link, options, { provision: false, planned: true });
      if (chain.pending > 0 || chain.end !== expected) return;
      if (prepared.kind === 'unfit') chain.doubt('the stream could not be looked up');
      else if (prepared.state.created !== known?.created) chain.doubt('the stream was made anew');
      else if (prepared.state.lastSequence !== expected)
        chain.doubt('the stream has grown or shrunk by other hands');
    },
    close: () => chain.close(),
  };
}
