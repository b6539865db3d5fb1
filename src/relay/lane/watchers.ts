/** Tells those who wait for a condition when it may have come true. */
export interface Watchers {
  /** To be called after each change, which may be each event: a burst of changes is looked at once, when it is over. */
  check(): void;
  /** Resolves when the condition holds or the signal aborts. */
  until(condition: () => boolean, signal: AbortSignal): Promise<void>;
}

export function createWatchers(): Watchers {
  const watchers = new Set<() => void>();
  let due = false;
  const look = () => {
    due = false;
    for (const watcher of watchers) watcher();
  };
  return {
    check() {
      if (due) return;
      due = true;
      queueMicrotask(look);
    },
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
  };
}
