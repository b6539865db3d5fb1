/** Tells those who wait for a window that was full when it has room again. */
export interface Room {
  /** To be called after each change of the window. */
  update(): void;
  /** Resolves when there is room, or without an error when the signal aborts or the room is closed. */
  wait(signal: AbortSignal): Promise<void>;
  close(): void;
}

export function createRoom(hasRoom: () => boolean, onRoom: (() => void) | undefined): Room {
  const waiting = new Set<() => void>();
  let full = false;
  let closed = false;
  const release = () => {
    for (const resolve of [...waiting]) resolve();
  };
  return {
    update() {
      if (full !== hasRoom()) return;
      full = !full;
      if (full) return;
      onRoom?.();
      release();
    },
    wait(signal) {
      if (closed || signal.aborted || hasRoom()) return Promise.resolve();
      return new Promise((resolve) => {
        const done = () => {
          waiting.delete(done);
          signal.removeEventListener('abort', done);
          resolve();
        };
        waiting.add(done);
        signal.addEventListener('abort', done, { once: true });
      });
    },
    close() {
      closed = true;
      release();
    },
  };
}
