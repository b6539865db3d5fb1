/**
 * Collapses any number of wake-ups (a notification, a freed slot, a timer) into one: a call of `wake()`
 * before or during `wait()` ends that wait, and is then used up.
 */
export interface WakeUp {
  wake(): void;
  /** Waits at most `ms` milliseconds; true if woken, false if the time passed or the signal aborted. */
  wait(ms: number, signal?: AbortSignal): Promise<boolean>;
}

export function createWakeUp(): WakeUp {
  let pending = false;
  let release: (() => void) | undefined;
  return {
    wake() {
      pending = true;
      release?.();
    },
    async wait(ms, signal) {
      if (!pending && !signal?.aborted) {
        await new Promise<void>((resolve) => {
          const done = () => {
            clearTimeout(timer);
            signal?.removeEventListener('abort', done);
            release = undefined;
            resolve();
          };
          const timer = setTimeout(done, ms);
          signal?.addEventListener('abort', done, { once: true });
          release = done;
        });
      }
      const woken = pending;
      pending = false;
      return woken;
    },
  };
}
