import type { NewLetter } from '../../dead-letters/letter.ts';
import type { StoredEvent } from '../../event.ts';
import { eventsAt, portionsOf } from '../lane/events-at.ts';
import type { Pause } from '../lane/lane-state.ts';
import type { OutletContext } from '../lane/outlet.ts';
import type { Refusal } from './chain.ts';
import type { Refill } from './reconcile.ts';

/**
 * An event that the broker will never take although it has a slot. The plan is not shortened: whoever still sends for
 * later slots would find one that fits. Its slot becomes a marker's instead, and so do, where keys hold, the slots of
 * the later events of its key. A copy of an event is given up that way, and nothing is set aside.
 */
export interface Burial {
  bury(refusal: Refusal | undefined, slots: readonly Refill[]): Promise<Buried>;
}

export type Buried =
  | {
      readonly kind: 'buried';
      readonly refill: readonly Refill[];
      readonly letters: readonly NewLetter[];
      /** The copy that was refused. */
      readonly copy?: Refill;
    }
  | { readonly kind: 'paused'; readonly pause: Pause };

const NOTHING = Buffer.alloc(0);

export function createBurial({
  options,
  session,
  letters,
}: Pick<OutletContext, 'options' | 'session' | 'letters'>): Burial {
  return {
    async bury(refusal, slots) {
      const unburied: Buried = { kind: 'buried', refill: slots, letters: [] };
      if (refusal === undefined) return unburied;
      const { event, sequence, reason } = refusal;
      const slot = slots.find((one) => one.sequence === sequence);
      // Stored after all, or its slot was lost: then it is not refused there.
      if (slot?.what !== 'event' || slot.position !== event.position) return unburied;
      if (slot.replay) return { ...unburied, refill: slots.map(markerInstead([slot])), copy: slot };
      const pause = letters.refused();
      if (pause !== undefined) return { kind: 'paused', pause };
      const followers = options.deadLetters === 'hold' ? await followersOf(event.key, sequence, slots) : [];
      const dead = new Set([event.position, ...followers.map(({ position }) => position)]);
      const deadSlots = slots.filter((one) => isItsOwn(one) && dead.has(one.position));
      return {
        kind: 'buried',
        refill: slots.map(markerInstead(deadSlots)),
        letters: [
          letters.letterFor(event, { state: 'marking', outcome: 'refused', reason }),
          ...followers.map((follower) =>
            letters.letterFor(follower, {
              state: 'marking',
              outcome: 'held',
              reason: `it waits behind the event at position ${event.position}, which was refused`,
            }),
          ),
        ],
      };
    },
  };

  /** Without their payloads, and read in portions: behind a lost tail there may be millions of slots. */
  async function followersOf(
    key: string | null,
    sequence: number,
    slots: readonly Refill[],
  ): Promise<StoredEvent[]> {
    if (key === null) return [];
    const later = slots.filter((slot) => slot.sequence > sequence && isItsOwn(slot));
    const followers: StoredEvent[] = [];
    for (const portion of portionsOf(later.map(({ position }) => position)))
      for (const event of (await eventsAt(session, portion)).values())
        if (event.key === key) followers.push({ ...event, payload: NOTHING });
    return followers;
  }
}

/** An event's slot, and not one of its copies'. */
function isItsOwn({ what, replay }: Refill): boolean {
  return what === 'event' && !replay;
}

function markerInstead(dead: readonly Refill[]) {
  const sequences = new Set(dead.map(({ sequence }) => sequence));
  return (slot: Refill): Refill =>
    sequences.has(slot.sequence) ? { ...slot, what: 'marker', unlogged: true } : slot;
}
