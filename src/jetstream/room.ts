/** Tells those who wait for a window that was full when it has room again. */
export interface Room {
  /** To be called after each change of the window. */
  update(): void;
  /** Resolves when there is room, or without an error when the signal aborts or the room is closed. */
  wait(signal: AbortSignal): Promise<void>;
  close(): void;
}

export interface Window {
  /** One more message fits. */
  hasRoom(): boolean;
  /** So much is free that filling it is worth a write of its own: a full window says so only then. */
  isAmple(): boolean;
}

export function createRoom({ hasRoom, isAmple }: Window, onRoom: (() => void) | undefined): Room {
  const waiting = new Set<() => void>();
  let full = false;
  let closed = false;
  const release = () => {
    for (const resolve of [...waiting]) resolve();
  };
  return {
    update() {
      if (!full) {
        full = !hasRoom();
        return;
      }
      if (!isAmple()) return;
      full = false;
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
