import type { BrokerLink } from '../../jetstream/index.ts';
import { createBackoff } from '../../lifecycle/backoff.ts';
import type { LaneMeter } from './lane-meter.ts';
import type { LaneState, Pause } from './lane-state.ts';

/**
 * Whether a lane publishes. It closes at the first bad answer and opens after a comparison with the stream:
 *   L4  In doubt nothing is sent until the stream has been compared with the log.
 * After a pause it lets one message through as a probe, and all only when that one is stored.
 */
export interface Gate {
  readonly state: LaneState;
  /** When the next attempt to open it is due, on the clock of `performance.now()`. Grows until something is stored. */
  readonly retryAtMs: number;
  readonly probing: boolean;
  /** Why nothing gets through: while it is paused, and while a probe has not shown yet that it is over. */
  readonly obstacle: Pause | undefined;
  /** A comparison begins: what a reconnect from here on may have changed, it does not see. */
  comparing(): void;
  doubt(why: string): void;
  /** As `doubt`, for a message without a good answer: if nothing was stored since the gate opened, it is a pause. */
  fruitless(reason: string): void;
  pause(reason: Pause): void;
  /**
   * Stream and log agree, unless the connection was lost and restored since the comparison began: then it stays in doubt.
   * `idle`: nothing waits to be sent, so nothing can show that it works again.
   */
  open(idle: boolean): void;
  stored(): void;
  close(): void;
}

export interface GateOptions {
  readonly link: BrokerLink;
  readonly meter: LaneMeter;
  /** Forget what is in flight. */
  readonly onClose: () => void;
  /** The gate closed by itself, or may be opened sooner than it asked for. */
  readonly wake: () => void;
}

/** Pauses that a person has to end. */
const PERSISTENT: ReadonlySet<string> = new Set(['refused', 'misrouted']);

const RESTORED = 'the connection to NATS was restored';

export function createGate({ link, meter, onClose, wake }: GateOptions): Gate {
  const backoff = createBackoff({ firstMs: 50, maxMs: 5_000 });
  let state: LaneState = { kind: 'doubt', why: 'start' };
  let retryAtMs = 0;
  let storedSinceOpen = true;
  let overtaken = false;
  let obstacle: Pause | undefined;

  const halt = (next: LaneState): void => {
    const before = state;
    state = next;
    onClose(); // Makes room: a state that still flowed would send into it (L4).
    // Whoever opens the gate causes every other transition, and would spin if it were woken by its own.
    if (before.kind === 'flowing') wake();
    retryAtMs = storedSinceOpen ? 0 : performance.now() + backoff.next();
  };
  const doubt = (why: string): void => {
    obstacle = undefined;
    if (state.kind !== 'doubt') halt({ kind: 'doubt', why });
  };
  const pause = (reason: Pause): void => {
    storedSinceOpen = false;
    obstacle = reason;
    halt({ kind: 'paused', pause: reason });
    meter.paused(reason);
  };
  const unsubscribe = link.onReconnect(() => {
    overtaken = true;
    doubt(RESTORED);
    backoff.reset();
    retryAtMs = 0;
    wake();
  });
  return {
    get state() {
      return state;
    },
    get retryAtMs() {
      return retryAtMs;
    },
    get probing() {
      return !storedSinceOpen;
    },
    get obstacle() {
      return obstacle;
    },
    comparing() {
      overtaken = false;
    },
    doubt,
    fruitless(reason) {
      if (storedSinceOpen || state.kind !== 'flowing') doubt(reason);
      else pause({ outcome: 'ambiguous', reason });
    },
    pause,
    open(idle) {
      if (overtaken) {
        state = { kind: 'doubt', why: RESTORED };
        return;
      }
      // An event that is refused before it is planned pauses again at once: only a confirmation shows that it is over.
      const outage = state.kind !== 'paused' || !PERSISTENT.has(state.pause.outcome);
      state = { kind: 'flowing' };
      storedSinceOpen = idle && outage;
      if (idle) obstacle = undefined;
      if (storedSinceOpen) meter.resumed();
    },
    stored() {
      if (storedSinceOpen) return;
      storedSinceOpen = true;
      obstacle = undefined;
      backoff.reset();
      meter.resumed();
    },
    close: unsubscribe,
  };
}
