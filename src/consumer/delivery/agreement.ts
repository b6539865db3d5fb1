import type { PlaceWitness } from '../../inbox/places.ts';

export interface Stories {
  /** The places that the inbox has recorded, from this one down, some at a time, last first. */
  readonly recorded: (upTo: number) => Promise<readonly number[]>;
  /** What the inbox says of what the stream holds there; undefined where nothing can be said: the stream holds nothing there. */
  readonly witness: (sequence: number) => Promise<PlaceWitness | undefined>;
}

/** How far inbox and stream are of one mind. */
export interface Agreement {
  /** The stream holds something else, stored later, at a place that was recorded: it has lost its tail, and grown again. */
  readonly contradicted: boolean;
  /** The highest place found that both tell alike, below every contradiction found; undefined if there is none. */
  readonly agreed: number | undefined;
}

/** Between two looks it goes back by this much, then twice as much, and so on: it may name an earlier place than the true one. */
const FIRST_STEP = 100;

export interface CompareRange {
  /** The first place that was recorded and that the stream may still hold. */
  readonly lowest: number;
  readonly upTo: number;
  /** Something is wrong for certain: look on where the first places say nothing. */
  readonly thorough: boolean;
}

/**
 * Compares from `upTo` down to `lowest`. Streams delete, so an empty place says nothing. Ends at the first places that agree below all that contradict.
 */
export async function compare(
  { recorded, witness }: Stories,
  { lowest, upTo, thorough }: CompareRange,
): Promise<Agreement> {
  let contradicted = false;
  let from = upTo;
  for (let step = FIRST_STEP; from >= lowest; step *= 2) {
    const places = (await recorded(from)).filter((sequence) => sequence >= lowest);
    const last = places.at(-1);
    if (last === undefined) break;
    const said = await Promise.all(places.map(witness));
    // From below: what agrees counts only where nothing below it contradicts.
    let agreed: number | undefined;
    for (let i = places.length - 1; i >= 0; i--) {
      if (said[i]?.contradicts) {
        contradicted = true;
        break;
      }
      if (said[i]?.agrees) agreed = places[i];
    }
    contradicted ||= said.some((one) => one?.contradicts === true);
    const isOver = agreed !== undefined || last === lowest || !(contradicted || thorough);
    if (isOver) return { contradicted, agreed };
    // The lowest one is never jumped over.
    from = Math.max(last - step, lowest);
  }
  return { contradicted, agreed: undefined };
}
