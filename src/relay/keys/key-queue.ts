import type { StoredEvent } from '../../event.ts';
import type { MessageName } from '../lane/planned-message.ts';

/** A planned event on its way to the stream, outside the chain. */
export interface Consignment {
  /** As it is sent: a copy may have a subject of its own. */
  readonly event: StoredEvent;
  readonly name: MessageName;
  /** A replay: what becomes of it says nothing of the event itself. */
  readonly copy: boolean;
  readonly batch: number;
  readonly messageId: string | null;
  /** It is stored at this sequence or above, unless the stream has lost its tail. */
  readonly bound: number;
  /**
   * It may have been sent before: until this moment of `performance.now()` the stream is known not to hold it, or its
   * duplicate window covers a repeat. Infinity when it was never sent.
   */
  readonly safeUntilMs: number;
}

/**
 * Planned events in the order in which they may be sent: of one key only one at a time, keys side by side. Without
 * keys (`none` ordering) all of them.
 */
export interface KeyQueue {
  readonly pending: number;
  readonly pendingBytes: number;
  /** The event that has waited longest: of copies nobody says that they are late. */
  readonly oldest: StoredEvent | undefined;
  /** The lowest batch number with an event that is not done; undefined if there is none. */
  readonly lowestBatch: number | undefined;
  add(consignment: Consignment): void;
  /** The next to send, without taking it. */
  peek(): Consignment | undefined;
  /** Takes what `peek()` showed; the number names it from now on. */
  take(): number;
  at(token: number): Consignment | undefined;
  /** It is stored, or set aside: the next of its key may go. */
  done(token: number): Consignment | undefined;
  /** Of all that is not done. */
  names(): Set<MessageName>;
  /** Takes the later events of a key out: they are set aside with their head. Copies stay. */
  followers(key: string): Consignment[];
  clear(): void;
}

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over the queue's parts, each operation short.
export function createKeyQueue({ perKey }: { perKey: boolean }): KeyQueue {
  let runnable: Consignment[] = [];
  let next = 0;
  let token = 0;
  let pendingBytes = 0;
  /** Those that wait behind one of their key that is runnable or under way. */
  const behind = new Map<string, Consignment[]>();
  const underWay = new Map<number, Consignment>();
  /** Batch number to events not done, in rising order. */
  const batches = new Map<number, number>();
  let waiting = 0;

  const finish = ({ batch, event }: Consignment) => {
    pendingBytes -= event.payload.length;
    const left = (batches.get(batch) ?? 1) - 1;
    if (left === 0) batches.delete(batch);
    else batches.set(batch, left);
  };
  const free = (key: string | null) => {
    if (!perKey || key === null) return;
    const queue = behind.get(key);
    const follower = queue?.shift();
    if (follower === undefined) return void behind.delete(key);
    waiting--;
    runnable.push(follower);
  };
  return {
    get pending() {
      return runnable.length - next + waiting + underWay.size;
    },
    get pendingBytes() {
      return pendingBytes;
    },
    get oldest() {
      const first = [...underWay.values()].find(isOriginal) ?? runnable.slice(next).find(isOriginal);
      return first?.event;
    },
    get lowestBatch() {
      return batches.keys().next().value;
    },
    add(consignment) {
      const { event, batch } = consignment;
      pendingBytes += event.payload.length;
      batches.set(batch, (batches.get(batch) ?? 0) + 1);
      const queue = perKey && event.key !== null ? behind.get(event.key) : undefined;
      if (queue !== undefined) {
        queue.push(consignment);
        waiting++;
        return;
      }
      if (perKey && event.key !== null) behind.set(event.key, []);
      runnable.push(consignment);
    },
    peek: () => runnable[next],
    take() {
      const consignment = runnable[next];
      if (consignment === undefined) throw new Error('nothing to send');
      next++;
      if (next >= 1_024) [runnable, next] = [runnable.slice(next), 0];
      underWay.set(++token, consignment);
      return token;
    },
    at: (number) => underWay.get(number),
    done(number) {
      const consignment = underWay.get(number);
      if (consignment === undefined) return undefined;
      underWay.delete(number);
      finish(consignment);
      free(consignment.event.key);
      return consignment;
    },
    names() {
      const pending = [runnable.slice(next), [...behind.values()].flat(), [...underWay.values()]].flat();
      return new Set(pending.map(({ name }) => name));
    },
    followers(key) {
      const all = behind.get(key) ?? [];
      const taken = all.filter(isOriginal);
      if (taken.length > 0)
        behind.set(
          key,
          all.filter(({ copy }) => copy),
        );
      waiting -= taken.length;
      for (const consignment of taken) finish(consignment);
      return taken;
    },
    clear() {
      runnable = [];
      next = 0;
      pendingBytes = 0;
      waiting = 0;
      behind.clear();
      underWay.clear();
      batches.clear();
    },
  };
}

function isOriginal({ copy }: Consignment): boolean {
  return !copy;
}
