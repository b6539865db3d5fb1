import type { StoredEvent } from '../event.ts';

/** A planned event and the one sequence at which it may ever be stored. */
export interface Slot {
  readonly sequence: number;
  readonly event: StoredEvent;
  /**
   * First sends carry the event's id. A repeat does not: its slot protects it, and a duplicate table (which may
   * outlive what it remembers, or remember what was refused) cannot swallow it.
   */
  readonly first: boolean;
}

/** The planned events that are not known to be stored, in slot order without holes. */
export interface Slots {
  /** The lowest sequence not settled. */
  readonly head: number;
  /** The last planned sequence. */
  readonly end: number;
  readonly pending: number;
  readonly pendingBytes: number;
  /** The event that has waited longest. */
  readonly oldest: StoredEvent | undefined;
  /** The event planned for a sequence that is not settled. */
  at(sequence: number): StoredEvent | undefined;
  /** Plans events behind the end. */
  append(events: readonly StoredEvent[], options: { first: boolean }): void;
  /** The next slot to send. */
  next(): Slot | undefined;
  /** The broker confirmed this slot. Returns its event, undefined if it was settled before. */
  settle(sequence: number): StoredEvent | undefined;
  /** After a reconciliation: everything up to `decided` is over. */
  restart(decided: number): void;
}

interface Entry {
  readonly event: StoredEvent;
  readonly first: boolean;
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
      return entries[head]?.event;
    },
    at: (sequence) => entries[sequence - base]?.event,
    append(events, { first }) {
      for (const event of events) {
        entries.push({ event, first, settled: false });
        pendingBytes += event.payload.length;
      }
    },
    next() {
      const entry = entries[sent];
      if (entry === undefined) return undefined;
      return { sequence: base + sent++, event: entry.event, first: entry.first };
    },
    settle(sequence) {
      const entry = entries[sequence - base];
      if (entry === undefined || entry.settled) return undefined;
      entry.settled = true;
      pendingBytes -= entry.event.payload.length;
      while (entries[head]?.settled) head++;
      compact();
      return entry.event;
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
