import type { NewLetter } from '../../dead-letters/letter.ts';
import { parkIfLeading } from '../../dead-letters/letters.ts';
import type { StoredEvent } from '../../event.ts';
import type { Pause } from '../lane/lane-state.ts';
import type { OutletContext } from '../lane/outlet.ts';
import type { Consignment, KeyQueue } from './key-queue.ts';

/**
 * Events of a lane without slots that the broker will never take, on their way to the dead letters. Where keys hold, the
 * later events of such a key go with them. A key waits from the refusal on, whatever is being planned meanwhile; until
 * it is written down, the refused event blocks its key.
 */
export interface KeyGraves {
  /** Undefined, or why the lane pauses instead. */
  refuse(token: number, consignment: Consignment, reason: string): Pause | undefined;
  /** The head of its key has died after this was planned. */
  holdBack(event: StoredEvent, batch: number): void;
  /** Writes all of it down. False: another epoch leads. */
  close(): Promise<boolean>;
  /** Events held back that are in no queue. */
  readonly heldBack: number;
  readonly isEmpty: boolean;
  /** The lowest batch with an event that is not written down; undefined if there is none. */
  readonly lowestBatch: number | undefined;
}

interface Grave {
  /** Of the event that blocks its key; undefined where the head of the key is dead already. */
  readonly token: number | undefined;
  readonly batch: number;
  readonly letters: readonly NewLetter[];
}

export function createKeyGraves(
  { options, session, epoch, letters }: OutletContext,
  queue: KeyQueue,
): KeyGraves {
  let graves: Grave[] = [];

  const dig = (token: number | undefined, batch: number, dead: readonly NewLetter[]) => {
    letters.commit(dead);
    graves.push({ token, batch, letters: dead });
  };
  return {
    refuse(token, { event, batch }, reason) {
      const pause = letters.refused();
      if (pause !== undefined) return pause;
      const head = letters.letterFor(event, { state: 'parked', outcome: 'refused', reason });
      const followers =
        options.deadLetters === 'hold' && event.key !== null ? queue.followers(event.key) : [];
      dig(token, batch, [head, ...followers.map((follower) => letters.heldLetter(follower.event))]);
      return undefined;
    },
    holdBack: (event, batch) => dig(undefined, batch, [letters.heldLetter(event)]),
    async close() {
      // More may be dug while these are written down: they are for the next round.
      const closing = [...graves];
      const dead = closing.flatMap((grave) => grave.letters);
      if (!(await parkIfLeading(session, epoch, dead))) return false;
      graves = graves.slice(closing.length);
      for (const { token } of closing) if (token !== undefined) queue.done(token);
      return true;
    },
    get heldBack() {
      return graves.filter(({ token }) => token === undefined).length;
    },
    get isEmpty() {
      return graves.length === 0;
    },
    get lowestBatch() {
      const [first] = graves;
      return first && graves.reduce((low, { batch }) => Math.min(low, batch), first.batch);
    },
  };
}
