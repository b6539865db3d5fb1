import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { createWakeUp } from '../lifecycle/wake-up.ts';

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
  /** The tap has seen it. */
  readonly seen: boolean;
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
  readonly tap?: ((bytes: Buffer) => Promise<void>) | undefined;
  readonly onPassed: (bytes: number) => void;
}

/** Carries bytes, and the end of the sender, from one socket to the other until it is closed. */
export function createPipe({ from, to, conditions: initial, tap, onPassed }: PipeOptions): Pipe {
  const wakeUp = createWakeUp();
  const queue = createQueue();
  let conditions = initial;
  let hasHoles = false;
  let closed = false;
  let limit = { left: Number.POSITIVE_INFINITY, onSpent: () => {} };
  /** When a throttled direction may write again. */
  let freeAtMs = 0;

  const flowOrPause = () => {
    if (conditions.passage === 'hold' || queue.bytes > MAX_QUEUED_BYTES) from.pause();
    else from.resume();
  };
  const ended = receive(from, (bytes) => {
    if (bytes !== undefined) queue.push({ bytes, arrivedAtMs: performance.now(), seen: tap === undefined });
    flowOrPause();
    wakeUp.wake();
  });
  flowOrPause();

  const passOn = async (): Promise<void> => {
    const bytes = queue.take(Math.min(largestPiece(conditions), limit.left));
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
    if (conditions.chunkBytes < Number.POSITIVE_INFINITY) await aPacketOfItsOwn();
  };
  /** The conditions may be others when the tap is done with the chunk. */
  const step = async (chunk: Chunk | undefined): Promise<void> => {
    const waitMs = idleMs(chunk, conditions, freeAtMs);
    if (waitMs > 0 || chunk === undefined) await wakeUp.wait(waitMs);
    else if (chunk.seen || conditions.passage === 'swallow') await passOn();
    else await queue.show(tap);
  };
  const isOver = () => queue.head === undefined && ended() && conditions.passage === 'open';
  void (async () => {
    while (!closed && !isOver()) await step(queue.head);
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

/** Tells of bytes, and with `undefined` of the end; the function returned says whether that has come. */
function receive(from: Socket, tell: (bytes?: Buffer) => void): () => boolean {
  let ended = false;
  from.on('data', (bytes: Buffer) => tell(bytes));
  from.on('end', () => {
    ended = true;
    tell();
  });
  return () => ended;
}

/** What was received and is not handed on yet. */
function createQueue() {
  const chunks: Chunk[] = [];
  let bytes = 0;
  return {
    get head() {
      return chunks[0];
    },
    get bytes() {
      return bytes;
    },
    push(chunk: Chunk): void {
      chunks.push(chunk);
      bytes += chunk.bytes.length;
    },
    /** From the head, at most so many; the rest stays there. */
    take(most: number): Buffer {
      const [head] = chunks;
      if (head === undefined) return Buffer.alloc(0);
      const size = Math.min(head.bytes.length, most);
      if (size === head.bytes.length) chunks.shift();
      else chunks[0] = { ...head, bytes: head.bytes.subarray(size) };
      bytes -= size;
      return head.bytes.subarray(0, size);
    },
    async show(tap: PipeOptions['tap']): Promise<void> {
      const [head] = chunks;
      if (head === undefined) return;
      await tap?.(head.bytes);
      chunks[0] = { ...head, seen: true };
    },
  };
}

/** How long there is nothing to do. */
function idleMs(chunk: Chunk | undefined, { passage, delayMs }: Conditions, freeAtMs: number): number {
  if (passage === 'hold' || chunk === undefined) return A_LONG_TIME_MS;
  return Math.max(chunk.arrivedAtMs + delayMs, freeAtMs) - performance.now();
}

function largestPiece({ bytesPerSecond, chunkBytes }: Conditions): number {
  const slice = Math.max(1, Math.ceil((bytesPerSecond * THROTTLE_SLICE_MS) / 1_000));
  return Math.min(chunkBytes, slice);
}

/** As far as the kernel goes along. */
async function aPacketOfItsOwn(): Promise<void> {
  await setImmediate();
  await setImmediate();
}

/** Resolves when the kernel has it, or with false when the socket is gone. */
function write(to: Socket, bytes: Buffer): Promise<boolean> {
  return new Promise((resolve) => to.write(bytes, (error) => resolve(error == null)));
}
