/**
 * How often to look while events flow. A look that brings something costs the relay, PostgreSQL and its disk about the same
 * for one event as for ten: so it is awaited that about two have come, within bounds. More often, and every event would pay for
 * a plan of its own; less often, and events would wait for nothing.
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

const EVENTS_A_LOOK = 2;
/** From 1,000 events a second on. */
const SHORTEST_MS = 2;
/** Up to 500 events a second. */
const LONGEST_MS = 4;
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
      return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, EVENTS_A_LOOK / rate));
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
