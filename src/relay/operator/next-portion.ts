import type { ChosenEvent } from './chosen-events.ts';
import type { Replaying } from './replay.ts';
import type { Progress } from './replay-progress.ts';

/** As many events are planned at a time; between two such portions new events have their turn. */
const AT_ONCE = 500;
/** Their content is in memory at once. */
const BYTES_AT_ONCE = 8 * 1024 * 1024;
/** With a rate, a portion is what is due in this time: evenly spread, and no row of the log for a single event. */
const SPREAD_S = 0.5;
/** Many pages may hold nothing that is meant. */
const LOOK_FOR_MS = 1_000;

export interface Portion {
  readonly positions: readonly number[];
  /** It is all that is meant up to there. */
  readonly to: number;
  /** Nothing lies behind it. */
  readonly over: boolean;
}

/** What a replay publishes next. A portion that some lane has already ends where it did. */
export async function nextPortion(
  { wish, events }: Replaying,
  { above, end, to }: Progress,
): Promise<Portion> {
  const { rate = Number.POSITIVE_INFINITY } = wish;
  const atMost = to === null ? Math.min(AT_ONCE, Math.ceil(rate * SPREAD_S)) : undefined;
  const load = createLoad(atMost);
  const untilMs = to === null ? performance.now() + LOOK_FOR_MS : Number.POSITIVE_INFINITY;
  for (let at = Math.max(above, events.start); ; ) {
    const page = await events.page({ above: at, end: to ?? end });
    const full = load.add(page.events);
    const { positions } = load;
    if (full) return { positions, to: positions.at(-1) ?? at, over: false };
    if (page.last) return { positions, to: to ?? end, over: to === null };
    at = page.lookedTo;
    if (performance.now() > untilMs) return { positions, to: at, over: false };
  }
}

/** `atMost` undefined: whatever comes. */
function createLoad(atMost: number | undefined) {
  const positions: number[] = [];
  let bytes = 0;
  const isFull = (next: ChosenEvent) =>
    atMost !== undefined &&
    positions.length > 0 &&
    (positions.length >= atMost || bytes + next.bytes > BYTES_AT_ONCE);
  return {
    positions,
    /** True once one has no room. */
    add(events: readonly ChosenEvent[]): boolean {
      for (const event of events) {
        if (event.dead || event.stream === undefined) continue;
        if (isFull(event)) return true;
        positions.push(event.position);
        bytes += event.bytes;
      }
      return false;
    },
  };
}
