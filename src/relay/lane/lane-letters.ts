import type { LetterOutcome, NewLetter, OpenLetter } from '../../dead-letters/letter.ts';
import type { LetterFates } from '../../dead-letters/letters.ts';
import type { StoredEvent } from '../../event.ts';
import type { Pause } from './lane-state.ts';

/** What happens to later events of a key whose head is dead: they go on, or they wait behind it. */
export type DeadLetterPolicy = 'skip' | 'hold';

/**
 * The dead letters of one lane. The table is the truth; this remembers of it what each plan has to know: which keys
 * wait, how many letters there are, and which slots decide over a letter when they are settled.
 */
export interface LaneLetters {
  restart(open: readonly OpenLetter[]): void;
  /** Sorts out what gets no slot. A pause means: too much is dead, something else must be wrong. */
  triage(events: readonly Suspect[]): Triage | Pause;
  /** What a triage, or a refusal, decided is written down. */
  commit(letters: readonly NewLetter[]): void;
  letterFor(
    event: StoredEvent,
    why: { outcome: LetterOutcome; reason: string; state: NewLetter['state'] },
  ): NewLetter;
  /** Nothing is wrong with this event: it waits. */
  heldLetter(event: StoredEvent): NewLetter;
  /** Keys hold, and a letter of its key waits ahead of this event. */
  holds(event: Pick<StoredEvent, 'key' | 'position'>): boolean;
  /** These are being sent again, maybe letters of another lane before: their keys go on behind them. */
  retrying(events: readonly StoredEvent[]): void;
  /** A slot is settled. `event`: the event itself is stored there, else its marker. */
  settled(position: number, what: 'event' | 'marker'): void;
  /** Positions of letters in this state. */
  inState(state: OpenLetter['state']): number[];
  /** What settled slots decided and nobody has written down; empties it. */
  takeFates(): LetterFates | undefined;
  readonly hasFates: boolean;
  /** Letters wait behind a head that is dead no more, and may go on. */
  readonly stranded: boolean;
  /** An operator discarded these: their keys go on. */
  discarded(positions: readonly number[]): void;
  /** The broker refused an event after it was planned. A pause: as `triage`. */
  refused(): Pause | undefined;
  /** Something was stored: what is refused now and then is its own fault. */
  stored(): void;
}

/** An event on its way to a slot. */
export interface Suspect {
  readonly event: StoredEvent;
  /** Why it can get none. */
  readonly fault?: { readonly outcome: 'refused' | 'misrouted'; readonly reason: string } | undefined;
}

export interface Triage {
  readonly events: readonly StoredEvent[];
  readonly letters: readonly NewLetter[];
}

/** So many dead events in a row, without one that is not, have a common cause that a person must find. */
const IN_A_ROW = 100;

export interface LaneLettersOptions {
  readonly stream: string;
  readonly policy: DeadLetterPolicy;
  /** At most so many wait for a decision. */
  readonly atMost: number;
}

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over what is remembered, its parts named below.
export function createLaneLetters({ stream, policy, atMost }: LaneLettersOptions): LaneLetters {
  /** By position. */
  const open = new Map<number, Remembered>();
  const waiting = new Map<string, Set<number>>();
  let fates: { marked: number[]; stored: number[] } = { marked: [], stored: [] };
  let inARow = 0;

  const remember = ({ position, key, state, outcome }: Remembered) => {
    open.set(position, { position, key, state, outcome });
    if (policy !== 'hold' || key === null) return;
    const positions = waiting.get(key) ?? new Set();
    // A key whose letters are all on their way again goes on behind them.
    if (state === 'retrying') positions.delete(position);
    else positions.add(position);
    if (positions.size === 0) waiting.delete(key);
    else waiting.set(key, positions);
  };
  const forget = (position: number) => {
    const letter = open.get(position);
    if (letter === undefined) return;
    remember({ ...letter, state: 'retrying' });
    open.delete(position);
  };
  const firstWaiting = (key: string): number | undefined => {
    const positions = waiting.get(key);
    return positions && lowestOf(positions);
  };
  const mayGoOn = (letter: Remembered | undefined) =>
    letter?.outcome === 'held' && letter.state !== 'marking';
  const letterFor: LaneLetters['letterFor'] = ({ position, eventId, subject, key, type }, why) => ({
    stream,
    position,
    eventId,
    subject,
    key,
    type,
    ...why,
  });
  const heldLetter = (event: StoredEvent) =>
    letterFor(event, {
      state: 'held',
      outcome: 'held',
      reason: 'it waits behind a dead event of its key: retry or discard that one',
    });
  // Checked before more are added: one look may add as many as it has events.
  const tooMany = (): Pause | undefined =>
    open.size < atMost
      ? undefined
      : {
          outcome: 'refused',
          reason: `${open.size} dead letters of stream '${stream}' await a decision, which is as many as may: retry or discard some (postcommit dead-letters list)`,
        };

  return {
    restart(letters) {
      open.clear();
      waiting.clear();
      fates = { marked: [], stored: [] };
      for (const letter of letters) remember(letter);
    },
    triage(suspects) {
      const sorted = createTriage({
        inARow,
        letterFor,
        heldLetter,
        firstWaiting,
        holds: policy === 'hold',
      });
      for (const suspect of suspects) {
        const pause = sorted.add(suspect);
        if (pause !== undefined) return pause;
      }
      const pause = sorted.letters.length === 0 ? undefined : tooMany();
      if (pause !== undefined) return pause;
      inARow = sorted.inARow;
      return sorted;
    },
    commit(letters) {
      for (const letter of letters) remember(letter);
    },
    letterFor,
    heldLetter,
    holds: ({ key, position }) => key !== null && (firstWaiting(key) ?? Number.POSITIVE_INFINITY) < position,
    retrying(events) {
      for (const { position, key } of events)
        remember({ position, key, state: 'retrying', outcome: open.get(position)?.outcome ?? 'moved' });
    },
    settled(position, what) {
      const letter = open.get(position);
      if (letter === undefined) return;
      if (what === 'event') {
        fates.stored.push(position);
        forget(position);
      } else if (letter.state === 'marking') {
        fates.marked.push(position);
        remember({ ...letter, state: 'parked' });
      }
    },
    get stranded() {
      return [...waiting.values()].some((positions) => mayGoOn(open.get(lowestOf(positions))));
    },
    inState: (state) =>
      [...open].filter(([, letter]) => letter.state === state).map(([position]) => position),
    takeFates() {
      if (fates.marked.length + fates.stored.length === 0) return undefined;
      const taken = fates;
      fates = { marked: [], stored: [] };
      return taken;
    },
    get hasFates() {
      return fates.marked.length + fates.stored.length > 0;
    },
    discarded(positions) {
      for (const position of positions) forget(position);
    },
    refused: () =>
      ++inARow >= IN_A_ROW ? inARowPause('refused', 'the broker refused each of them') : tooMany(),
    stored() {
      inARow = 0;
    },
  };
}

type Remembered = Pick<OpenLetter, 'position' | 'key' | 'state' | 'outcome'>;

/** Of what is never empty, and may have more members than a call takes arguments. */
function lowestOf(positions: ReadonlySet<number>): number {
  let lowest = Number.POSITIVE_INFINITY;
  for (const position of positions) lowest = Math.min(lowest, position);
  return lowest;
}

interface TriageOptions {
  /** Dead events before these, without one that is not. */
  readonly inARow: number;
  readonly letterFor: LaneLetters['letterFor'];
  readonly heldLetter: LaneLetters['heldLetter'];
  /** Where the first letter of this key waits; undefined if none does. */
  readonly firstWaiting: (key: string) => number | undefined;
  /** Later events of a dead key wait. */
  readonly holds: boolean;
}

function createTriage({ inARow, letterFor, heldLetter, firstWaiting, holds }: TriageOptions) {
  const events: StoredEvent[] = [];
  const letters: NewLetter[] = [];
  /** By key: where its first dead event is. */
  const heads = new Map<string, number>();
  const headOf = (key: string) => {
    const head = heads.get(key) ?? firstWaiting(key) ?? Number.POSITIVE_INFINITY;
    heads.set(key, head);
    return head;
  };
  const triage = {
    events,
    letters,
    inARow,
    add({ event, fault }: Suspect): Pause | undefined {
      const { key } = event;
      // Only what is ahead holds an event up: of many letters that are retried, a part has its turn at a time.
      if (key !== null && headOf(key) < event.position) {
        letters.push(heldLetter(event));
      } else if (fault === undefined) {
        triage.inARow = 0;
        events.push(event);
      } else {
        if (++triage.inARow >= IN_A_ROW) return inARowPause(fault.outcome, fault.reason);
        letters.push(letterFor(event, { state: 'parked', ...fault }));
        if (holds && key !== null) heads.set(key, Math.min(headOf(key), event.position));
      }
      return undefined;
    },
  };
  return triage;
}

function inARowPause(outcome: 'refused' | 'misrouted', reason: string): Pause {
  return {
    outcome,
    reason: `the last ${IN_A_ROW} events were all ${outcome}, which is no fault of single events; the last because ${reason}`,
  };
}
