import { LONGEST_TIMER_MS } from './abort.ts';

/** Time as it passes for whoever waits by it. In tests it need not be the machine's. */
export interface Clock {
  /** Milliseconds since some moment of its own; it never goes back. */
  now(): number;
  /** Calls `wake` once, after so many milliseconds or (where these are many) earlier. The result calls it off. */
  setTimer(ms: number, wake: () => void): () => void;
}

/** The machine's. */
export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  setTimer(ms, wake) {
    const timer = setTimeout(wake, Math.min(ms, LONGEST_TIMER_MS));
    return () => clearTimeout(timer);
  },
};
