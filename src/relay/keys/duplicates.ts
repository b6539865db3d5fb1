const AT_ONCE = 256;
const WAIT_MS = 200;

/**
 * What the broker calls duplicates. It has their ids, which proves nothing: ids that it refused are among them (2.10.27
 * with three replicas). The stream is looked into, and what it does not hold goes without its id from then on.
 */
export interface Duplicates {
  note(position: number): void;
  /**
   * Due to be looked into. Each look costs time: what is called a duplicate waits for others, while its key waits for it.
   */
  isDue(inFlight: number): boolean;
  /** The stream was looked into. */
  judge(stored: ReadonlyMap<number, number>): void;
  /** The broker knows its id, although the stream does not hold it. */
  isIdUsed(position: number): boolean;
  /** It is stored. */
  done(position: number): void;
}

export function createDuplicates(): Duplicates {
  const noted = new Set<number>();
  const idUsed = new Set<number>();
  let sinceMs = 0;
  return {
    note(position) {
      if (noted.size === 0) sinceMs = performance.now();
      noted.add(position);
    },
    isDue: (inFlight) =>
      noted.size > 0 && (inFlight === 0 || noted.size >= AT_ONCE || performance.now() - sinceMs > WAIT_MS),
    judge(stored) {
      for (const position of noted) if (!stored.has(position)) idUsed.add(position);
      noted.clear();
    },
    isIdUsed: (position) => idUsed.has(position),
    done: (position) => void idUsed.delete(position),
  };
}
