/**
 * What was sent and not answered yet, in a ring of plain arrays: no object, promise or timer for a message.
 *
 * A ticket is a number that is never used twice and names the slot `ticket % capacity`. An answer that comes late,
 * twice, or from a stranger meets a slot that holds another ticket, and is ignored. Slots still taken are skipped,
 * so that one lost answer does not stop the ring.
 */
export interface InFlight {
  readonly count: number;
  readonly bytes: number;
  /** The ticket of a message sent now. Throws when the ring is full, which is a bug of the caller. */
  add(token: number, size: number): number;
  /** Frees a ticket's slot and returns its token; undefined if it is not in flight. */
  release(ticket: number): number | undefined;
  /** Time is counted in ticks of the caller's timer. */
  tick(): void;
  /** The tickets sent at least so many ticks ago, in the order in which they were sent. */
  sentBefore(ticks: number): number[];
  clear(): void;
}

const FREE = -1;

export function createInFlight(atLeast: number): InFlight {
  const capacity = 2 ** Math.ceil(Math.log2(atLeast));
  const tickets = new Float64Array(capacity).fill(FREE);
  const tokens = new Float64Array(capacity);
  const sizes = new Float64Array(capacity);
  const sentAt = new Float64Array(capacity);
  let next = 0;
  let count = 0;
  let bytes = 0;
  let now = 0;
  return {
    get count() {
      return count;
    },
    get bytes() {
      return bytes;
    },
    add(token, size) {
      if (count === capacity) throw new Error('publish() without room: wait for room() first');
      while (tickets[next % capacity] !== FREE) next++;
      const slot = next % capacity;
      tickets[slot] = next;
      tokens[slot] = token;
      sizes[slot] = size;
      sentAt[slot] = now;
      count++;
      bytes += size;
      return next++;
    },
    release(ticket) {
      const slot = ticket % capacity;
      // Also false for what is no slot at all: a stranger's ticket may be any number.
      if (tickets[slot] !== ticket || ticket === FREE) return undefined;
      tickets[slot] = FREE;
      count--;
      bytes -= sizes[slot] as number;
      return tokens[slot];
    },
    tick() {
      now++;
    },
    sentBefore(ticks) {
      const found: number[] = [];
      for (let slot = 0; slot < capacity; slot++)
        if (tickets[slot] !== FREE && now - (sentAt[slot] as number) >= ticks)
          found.push(tickets[slot] as number);
      return found.sort((a, b) => a - b);
    },
    clear() {
      tickets.fill(FREE);
      count = 0;
      bytes = 0;
    },
  };
}
