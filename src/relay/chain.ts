import type { StoredEvent } from '../event.ts';
import { type BrokerLink, createPublisher, encodeHeaders } from '../jetstream/index.ts';
import { createBackoff } from '../lifecycle/backoff.ts';
import type { LaneMeter } from './lane-meter.ts';
import type { LaneState, Pause } from './lane-state.ts';
import { createSlots } from './slots.ts';

/**
 * The sending half of a lane: planned events go out pipelined, each expecting the sequence before its own.
 *   L2  An event is sent only for its own slot.
 *   L3  Only an acknowledgement at exactly the planned sequence settles. Every other answer, and none, is doubt.
 *   L4  In doubt nothing is sent until the stream has been compared with the log.
 */
export interface Chain {
  readonly state: LaneState;
  /** Highest sequence known to hold our message; null before the first. */
  readonly settledTo: number | null;
  /** The last planned sequence. */
  readonly end: number;
  readonly pending: number;
  readonly pendingBytes: number;
  readonly oldest: StoredEvent | undefined;
  /** The stream was compared with the log: everything up to `decided` is over. Nothing flows yet. */
  restart(decided: number, settledTo: number | null): void;
  /** Planned events take the next slots. `first`: they were never sent before. */
  append(events: readonly StoredEvent[], options: { first: boolean }): void;
  /** Sends from now on. */
  flow(): void;
  doubt(why: string): void;
  pause(reason: Pause): void;
  /** How long to wait before the next attempt; grows until something is stored. */
  readonly retryAtMs: number;
  close(): void;
}

export interface ChainOptions {
  readonly link: BrokerLink;
  readonly stream: string;
  readonly source: string;
  readonly meter: LaneMeter;
  /** The chain left `flowing`, or may be cleared sooner than it asked for. */
  readonly wake: () => void;
  /** After each settled event. */
  readonly onSettled: () => void;
}

/** Pauses that a person has to end. */
const PERSISTENT: ReadonlySet<string> = new Set(['refused', 'misrouted']);

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over the chain's state, its parts named below.
export function createChain({ link, stream, source, meter, wake, onSettled }: ChainOptions): Chain {
  const backoff = createBackoff({ firstMs: 50, maxMs: 5_000 });
  const slots = createSlots();
  let state: LaneState = { kind: 'doubt', why: 'start' };
  let start = { decided: 0, settledTo: null as number | null };
  let retryAtMs = 0;
  let storedSinceFlow = true;

  const halt = (next: LaneState): void => {
    const before = state;
    state = next;
    publisher.abandon(); // Makes room: a state that still flowed would send into it (L4).
    // The loop itself causes every other transition, and would spin if it were woken by its own.
    if (before.kind === 'flowing') wake();
    retryAtMs = storedSinceFlow ? 0 : performance.now() + backoff.next();
  };
  const doubt = (why: string): void => {
    if (state.kind !== 'doubt') halt({ kind: 'doubt', why });
  };
  const pause = (reason: Pause): void => {
    storedSinceFlow = false;
    halt({ kind: 'paused', pause: reason });
    meter.paused(reason);
  };

  const publisher = createPublisher({
    link,
    stream,
    onStored(token, sequence) {
      if (token !== sequence) return doubt(`stored at sequence ${sequence} instead of ${token}`); // L3
      const event = slots.settle(sequence);
      if (event !== undefined) meter.stored(event);
      if (!storedSinceFlow) {
        storedSinceFlow = true;
        backoff.reset();
        meter.resumed();
      }
      onSettled();
    },
    // The first answer that is not `stored` decides; those behind it only follow from it.
    onFailure(token, outcome) {
      meter.failed(outcome.kind);
      if (outcome.kind === 'duplicate') doubt('the broker calls it a duplicate, which proves nothing');
      else if (outcome.kind === 'ambiguous') doubt(outcome.reason);
      else if (outcome.kind === 'refused') pause(refusal(slots.at(token), outcome.reason));
      else pause({ outcome: outcome.kind, reason: outcome.reason });
    },
    onRoom: () => pump(),
  });

  const pump = (): void => {
    while (state.kind === 'flowing' && publisher.hasRoom()) {
      const slot = slots.next();
      if (slot === undefined) return;
      const { event, sequence, first } = slot;
      const messageId = first ? event.eventId : null;
      const headers = encodeHeaders(event, { stream, source, messageId, expectedLastSequence: sequence - 1 }); // L2
      publisher.publish({ subject: event.subject, headers, payload: event.payload }, sequence);
    }
  };

  const unsubscribe = link.onReconnect(() => {
    doubt('the connection to NATS was restored');
    backoff.reset();
    retryAtMs = 0;
    wake();
  });
  return {
    get state() {
      return state;
    },
    get settledTo() {
      return slots.head - 1 > start.decided ? slots.head - 1 : start.settledTo;
    },
    get end() {
      return slots.end;
    },
    get pending() {
      return slots.pending;
    },
    get pendingBytes() {
      return slots.pendingBytes;
    },
    get oldest() {
      return slots.oldest;
    },
    get retryAtMs() {
      return retryAtMs;
    },
    restart(decided, settledTo) {
      slots.restart(decided);
      start = { decided, settledTo };
    },
    append(events, options) {
      slots.append(events, options);
      pump();
    },
    flow() {
      // An event that is refused before it is planned pauses again at once: only a confirmation shows that it is over.
      const outage = state.kind !== 'paused' || !PERSISTENT.has(state.pause.outcome);
      state = { kind: 'flowing' };
      storedSinceFlow = slots.pending === 0 && outage;
      if (storedSinceFlow) meter.resumed();
      pump();
    },
    doubt,
    pause,
    close() {
      unsubscribe();
      publisher.close();
    },
  };
}

function refusal(event: StoredEvent | undefined, reason: string): Pause {
  const name = event === undefined ? 'an event' : `event ${event.eventId} at position ${event.position}`;
  return { outcome: 'refused', reason: `${name} was refused: ${reason}` };
}
