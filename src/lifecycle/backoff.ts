export interface BackoffOptions {
  /** Ceiling of the first delay in milliseconds. Default 50. */
  readonly firstMs?: number;
  /** Ceiling of every delay in milliseconds. Default 5,000. */
  readonly maxMs?: number;
}

export interface Backoff {
  /** The next delay in milliseconds: between half the ceiling and the ceiling, which doubles each time. */
  next(): number;
  /** Starts over, after a success. */
  reset(): void;
}

/** Exponential backoff with jitter, so that many relays do not return to a server in step. */
export function createBackoff({ firstMs = 50, maxMs = 5_000 }: BackoffOptions = {}): Backoff {
  let ceiling = firstMs;
  return {
    next() {
      const delay = ceiling / 2 + (Math.random() * ceiling) / 2;
      ceiling = Math.min(ceiling * 2, maxMs);
      return delay;
    },
    reset() {
      ceiling = firstMs;
    },
  };
}
