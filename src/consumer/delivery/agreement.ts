import type { RecordedPlace } from '../../inbox/places.ts';

export interface Stories {
  /** What the inbox has recorded from this sequence down, last first, some places at a time. */
  readonly recorded: (upTo: number) => Promise<readonly RecordedPlace[]>;
  /** The id of the event that the stream holds there; undefined if it holds none. */
  readonly stored: (sequence: number) => Promise<string | undefined>;
}

/**
 * The last sequence up to which the stream holds what the inbox has recorded, if it holds something else behind it: the
 * stream has lost its tail there, and has grown again since. Undefined if nothing speaks for that: a place that is empty
 * says nothing, because streams delete.
 *
 * Goes back in steps that double, so that it may name an earlier place than the true one; never a later one.
 */
export async function agreedUpTo(
  { recorded, stored }: Stories,
  { first, upTo }: { readonly first: number; readonly upTo: number },
): Promise<number | undefined> {
  let contradicted = false;
  let from = upTo;
  for (let step = FIRST_STEP; from >= first; step *= 2) {
    const places = (await recorded(from)).filter(({ sequence }) => sequence >= first);
    const last = places.at(-1);
    if (last === undefined) break;
    const ids = await Promise.all(places.map(({ sequence }) => stored(sequence)));
    const held = places.map(({ sequence, eventIds }, i) => {
      const id = ids[i];
      return { sequence, agrees: id === undefined ? undefined : eventIds.has(id) };
    });
    const agreed = held.find(({ agrees }) => agrees === true);
    contradicted ||= held.some(
      ({ sequence, agrees }) => agrees === false && sequence > (agreed?.sequence ?? 0),
    );
    if (agreed !== undefined) return contradicted ? agreed.sequence : undefined;
    if (!contradicted) return undefined;
    from = last.sequence - step;
  }
  return contradicted ? first - 1 : undefined;
}

const FIRST_STEP = 100;
