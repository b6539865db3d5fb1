import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { createWakeUp } from '../../src/lifecycle/wake-up.ts';

/** What happens to bytes on their way from one socket to the other. */
export interface Conditions {
  /** `hold`: nothing is read any more, the end of the sender included. `swallow`: it is read and thrown away. */
  readonly passage: 'open' | 'hold' | 'swallow';
  /** How long each byte is under way; their order stays. */
  readonly delayMs: number;
  readonly bytesPerSecond: number;
  /** The largest piece that is written at a time. */
  readonly chunkBytes: number;
}

export const UNDISTURBED: Conditions = {
  passage: 'open',
  delayMs: 0,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  chunkBytes: Number.POSITIVE_INFINITY,
};

/** One direction of a link. */
export interface Pipe {
  /** Bytes of it are missing: the other end must never see what follows them. */
  readonly hasHoles: boolean;
  /** True while what one end does reaches the other. */
  readonly isOpen: boolean;
  impose(conditions: Partial<Conditions>): void;
  /** Calls `onSpent` once so many more bytes have been written. */
  limit(bytes: number, onSpent: () => void): void;
  close(): void;
}

interface Chunk {
  readonly bytes: Buffer;
  readonly arrivedAtMs: number;
}

/** Above this it stops reading, so that the sender feels a slow or held direction as it would a slow network. */
const MAX_QUEUED_BYTES = 256 * 1024;
/** How often a throttled direction writes. */
const THROTTLE_SLICE_MS = 20;
const A_LONG_TIME_MS = 2 ** 30;

export interface PipeOptions {
  readonly from: Socket;
  readonly to: Socket;
  readonly conditions: Conditions;
  readonly onPassed: (bytes: number) => void;
}

/** Carries bytes, and the end of the sender, from one socket to the other until it is closed. */
export function createPipe({ from, to, conditions: initial, onPassed }: PipeOptions): Pipe {
  const wakeUp = createWakeUp();
  const queue: Chunk[] = [];
  let conditions = initial;
  let queuedBytes = 0;
  let hasHoles = false;
  let closed = false;
  let ended = false;
  let limit = { left: Number.POSITIVE_INFINITY, onSpent: () => {} };
  /** When a throttled direction may write again. */
  let freeAtMs = 0;

  const flowOrPause = () => {
    if (conditions.passage === 'hold' || queuedBytes > MAX_QUEUED_BYTES) from.pause();
    else from.resume();
  };
  from.on('data', (bytes: Buffer) => {
    queue.push({ bytes, arrivedAtMs: performance.now() });
    queuedBytes += bytes.length;
    flowOrPause();
    wakeUp.wake();
  });
  from.on('end', () => {
    ended = true;
    wakeUp.wake();
  });
  flowOrPause();

  /** The next bytes that may go out at once; the rest stays at the head of the queue. */
  const take = ({ bytes, arrivedAtMs }: Chunk): Buffer => {
    const slice = Math.max(1, Math.ceil((conditions.bytesPerSecond * THROTTLE_SLICE_MS) / 1_000));
    const size = Math.min(bytes.length, conditions.chunkBytes, slice, limit.left);
    if (size === bytes.length) queue.shift();
    else queue[0] = { bytes: bytes.subarray(size), arrivedAtMs };
    queuedBytes -= size;
    return bytes.subarray(0, size);
  };
  const passOn = async (chunk: Chunk): Promise<void> => {
    const bytes = take(chunk);
    flowOrPause();
    if (conditions.passage === 'swallow') {
      hasHoles = true;
      return;
    }
    freeAtMs = performance.now() + (bytes.length * 1_000) / conditions.bytesPerSecond;
    if (!(await write(to, bytes))) return;
    onPassed(bytes.length);
    limit.left -= bytes.length;
    if (limit.left === 0) limit.onSpent();
    // Turns of the event loop make it a packet of its own, as far as the kernel goes along.
    if (conditions.chunkBytes < Number.POSITIVE_INFINITY) {
      await setImmediate();
      await setImmediate();
    }
  };
  /** How long there is nothing to do. */
  const idleMs = (chunk: Chunk | undefined): number => {
    if (conditions.passage === 'hold' || chunk === undefined) return A_LONG_TIME_MS;
    return Math.max(chunk.arrivedAtMs + conditions.delayMs, freeAtMs) - performance.now();
  };
  void (async () => {
    while (!closed) {
      const [chunk] = queue;
      const waitMs = idleMs(chunk);
      const over = ended && chunk === undefined && conditions.passage === 'open';
      if (over) break;
      if (waitMs > 0 || chunk === undefined) await wakeUp.wait(waitMs);
      else await passOn(chunk);
    }
    if (!closed) to.end();
  })();
  return {
    get hasHoles() {
      return hasHoles;
    },
    get isOpen() {
      return conditions.passage === 'open';
    },
    impose(changes) {
      conditions = { ...conditions, ...changes };
      if (changes.bytesPerSecond !== undefined) freeAtMs = 0;
      flowOrPause();
      wakeUp.wake();
    },
    limit(left, onSpent) {
      limit = { left, onSpent };
      if (left === 0) onSpent();
    },
    close() {
      closed = true;
      wakeUp.wake();
    },
  };
}

/** Resolves when the kernel has it, or with false when the socket is gone. */
function write(to: Socket, bytes: Buffer): Promise<boolean> {
  return new Promise((resolve) => to.write(bytes, (error) => resolve(error == null)));
}
