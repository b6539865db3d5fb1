/**
 * How often to look while events flow. A look that brings something costs the relay, PostgreSQL and its disk about the same
 * for one event as for ten: so it is awaited that two or three have come, within bounds. More often, and every event would pay
 * for a plan of its own; less often, and events would wait for nothing.
 */
export interface Cadence {
  /** From the start of one look to the start of the next. */
  readonly intervalMs: number;
  /** A look is beginning. */
  started(nowMs: number): void;
  /** It brought so many. */
  looked(events: number, nowMs: number): void;
  /** How long to rest, so that this much lies between the starts of two looks. */
  restMs(intervalMs: number, nowMs: number): number;
}

const SHORTEST_MS = 2;
const LONGEST_MS = 5;
/** Events a millisecond, up to which the interval is the longest, and from which on it is the shortest. */
const SLOW = 0.5;
const BUSY = 1;
/** The rate is an average over about this time. */
const MEMORY_MS = 100;
/** However long a look took, others have their turn. */
const REST_MS = 1;

export function createCadence(): Cadence {
  let startedAtMs = Number.NEGATIVE_INFINITY;
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  /** Events a millisecond. */
  let rate = 0;
  return {
    get intervalMs() {
      const busy = Math.min(1, Math.max(0, (rate - SLOW) / (BUSY - SLOW)));
      return LONGEST_MS + busy * (SHORTEST_MS - LONGEST_MS);
    },
    started(nowMs) {
      startedAtMs = nowMs;
    },
    looked(events, nowMs) {
      const sinceMs = Math.max(nowMs - lookedAtMs, SHORTEST_MS);
      lookedAtMs = nowMs;
      const weight = 1 - Math.exp(-sinceMs / MEMORY_MS);
      rate += weight * (events / sinceMs - rate);
    },
    restMs: (intervalMs, nowMs) => Math.max(REST_MS, startedAtMs + intervalMs - nowMs),
  };
}
