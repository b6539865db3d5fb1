import { PostcommitError } from '../errors.ts';
import type { Clock } from '../lifecycle/clock.ts';
import { until } from './until.ts';

/**
 * For `consume({ clock })`: stands still until the test moves it, so that a retry in a minute needs none. It stops nothing
 * else: sockets, leases and the servers' own times go on.
 */
export interface FakeClock extends Clock {
  /** In how many milliseconds of this clock each of what waits is due, the next one first. */
  readonly waiting: readonly number[];
  /** Moves on by so many whole milliseconds, and wakes what is due on the way in its order. */
  advance(ms: number): void;
  /**
   * Waits until something waits for this clock, and moves on to when the first of it is due. Resolves to the milliseconds
   * that this skipped. What a handler's failure leads to is written to the database first: use this rather than
   * `advance()` after a failure that was only seen in the handler.
   *
   * @throws AssertionError if nothing waits within `timeoutMs` (default 10,000) of real time.
   */
  advanceToNext(options?: { readonly timeoutMs?: number }): Promise<number>;
}

interface Timer {
  readonly dueMs: number;
  readonly wake: () => void;
}

export function createFakeClock(): FakeClock {
  /** Whole, as all due times are: otherwise one that is due could be short of it by a rounding error. */
  let nowMs = 0;
  const timers = new Set<Timer>();

  /** Of two that are due at once, the one that was set first. */
  const nextTimer = () =>
    [...timers].reduce<Timer | undefined>(
      (first, timer) => (first === undefined || timer.dueMs < first.dueMs ? timer : first),
      undefined,
    );
  function advance(ms: number): void {
    if (!Number.isSafeInteger(ms) || ms < 0)
      throw new PostcommitError(
        'config-invalid',
        'a fake clock moves on by whole milliseconds',
        'Call advance() with a whole number of at least 0.',
      );
    const target = nowMs + ms;
    for (let timer = nextTimer(); timer !== undefined && timer.dueMs <= target; timer = nextTimer()) {
      timers.delete(timer);
      nowMs = Math.max(nowMs, timer.dueMs);
      timer.wake();
    }
    nowMs = target;
  }
  return {
    now: () => nowMs,
    setTimer(ms, wake) {
      const timer = { dueMs: Math.ceil(nowMs + Math.max(0, ms)), wake };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    get waiting() {
      return [...timers].map(({ dueMs }) => dueMs - nowMs).sort((one, other) => one - other);
    },
    advance,
    async advanceToNext({ timeoutMs } = {}) {
      const { dueMs } = await until(nextTimer, {
        timeoutMs,
        what: 'something waits for the fake clock (nothing has failed, or it was handed to no consumer)',
      });
      const skippedMs = dueMs - nowMs;
      advance(skippedMs);
      return skippedMs;
    },
  };
}
