import type { MessageName } from '../lane/planned-message.ts';

const AT_ONCE = 256;
const WAIT_MS = 200;

/**
 * What the broker calls duplicates. It has their ids, which proves nothing: ids that it refused are among them (2.10.27
 * with three replicas). The stream is looked into, and what it does not hold goes without its id from then on.
 */
export interface Duplicates {
  note(message: MessageName): void;
  /**
   * Due to be looked into. Each look costs time: what is called a duplicate waits for others, while its key waits for it.
   */
  isDue(inFlight: number): boolean;
  /** The stream was looked into. */
  judge(stored: ReadonlyMap<MessageName, number>): void;
  /** The broker knows its id, although the stream does not hold it. */
  isIdUsed(message: MessageName): boolean;
  /** It is stored. */
  done(message: MessageName): void;
}

export function createDuplicates(): Duplicates {
  const noted = new Set<MessageName>();
  const idUsed = new Set<MessageName>();
  let sinceMs = 0;
  return {
    note(message) {
      if (noted.size === 0) sinceMs = performance.now();
      noted.add(message);
    },
    isDue: (inFlight) =>
      noted.size > 0 && (inFlight === 0 || noted.size >= AT_ONCE || performance.now() - sinceMs > WAIT_MS),
    judge(stored) {
      for (const message of noted) if (!stored.has(message)) idUsed.add(message);
      noted.clear();
    },
    isIdUsed: (message) => idUsed.has(message),
    done: (message) => void idUsed.delete(message),
  };
}
