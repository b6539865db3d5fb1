import { bytesOf, type Cargo, isOriginal } from '../lane/cargo.ts';

/** A planned message and the one sequence at which it may ever be stored. */
export interface Slot {
  readonly sequence: number;
  readonly cargo: Cargo;
}

/** The planned messages that are not known to be stored, in slot order without holes. */
export interface Slots {
  /** The lowest sequence not settled. */
  readonly head: number;
  /** The last sequence filled. */
  readonly end: number;
  readonly pending: number;
  readonly pendingBytes: number;
  /** The event that has waited longest: of copies nobody says that they are late. */
  readonly oldest: Cargo | undefined;
  /** What is planned for a sequence that is not settled. */
  at(sequence: number): Cargo | undefined;
  /** Fills the slots behind the end. */
  append(cargo: readonly Cargo[]): void;
  /** The next slot to send. */
  next(): Slot | undefined;
  /** The broker confirmed this slot, whatever became of those before it. */
  isSettled(sequence: number): boolean;
  /** The broker confirmed this slot. Returns what it holds, undefined if it was settled before. */
  settle(sequence: number): Cargo | undefined;
  /** After a reconciliation: everything up to `decided` is over. */
  restart(decided: number): void;
}

interface Entry {
  readonly cargo: Cargo;
  settled: boolean;
}

/** Settled entries are cut off in bulk: shifting an array for every event would cost its length. */
const COMPACT_AT = 1_024;

export function createSlots(decided = 0): Slots {
  let entries: Entry[] = [];
  let base = decided + 1;
  let head = 0;
  let sent = 0;
  let pendingBytes = 0;
  const compact = () => {
    if (head < COMPACT_AT) return;
    entries = entries.slice(head);
    base += head;
    sent -= head;
    head = 0;
  };
  return {
    get head() {
      return base + head;
    },
    get end() {
      return base + entries.length - 1;
    },
    get pending() {
      return entries.length - head;
    },
    get pendingBytes() {
      return pendingBytes;
    },
    get oldest() {
      return entries.slice(head).find(({ settled, cargo }) => !settled && isOriginal(cargo))?.cargo;
    },
    at: (sequence) => entries[sequence - base]?.cargo,
    append(cargoes) {
      for (const cargo of cargoes) {
        entries.push({ cargo, settled: false });
        pendingBytes += bytesOf(cargo);
      }
    },
    next() {
      const entry = entries[sent];
      if (entry === undefined) return undefined;
      return { sequence: base + sent++, cargo: entry.cargo };
    },
    isSettled: (sequence) => entries[sequence - base]?.settled === true,
    settle(sequence) {
      const entry = entries[sequence - base];
      if (entry === undefined || entry.settled) return undefined;
      entry.settled = true;
      pendingBytes -= bytesOf(entry.cargo);
      while (entries[head]?.settled) head++;
      compact();
      return entry.cargo;
    },
    restart(decidedTo) {
      entries = [];
      base = decidedTo + 1;
      head = 0;
      sent = 0;
      pendingBytes = 0;
    },
  };
}
