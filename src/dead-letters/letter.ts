/** `marking`: its slot is being filled with a marker. `held`: it waits behind a dead event of its key. */
export type LetterState = 'marking' | 'parked' | 'held' | 'retrying' | 'resolved' | 'discarded';

/** Why an event is set aside. `held`: nothing is wrong with it, an earlier event of its key is dead. */
export type LetterOutcome = 'refused' | 'misrouted' | 'held';

/** An event that the relay sets aside. Its content stays in the outbox row until that row goes. */
export interface NewLetter {
  readonly stream: string;
  readonly position: number;
  readonly eventId: string;
  readonly subject: string;
  readonly key: string | null;
  readonly type: string | null;
  readonly state: 'marking' | 'parked' | 'held';
  readonly outcome: LetterOutcome;
  /** For a person: what happened and what to do. Holds no payload. */
  readonly reason: string;
}

/** A dead letter of the relay that is not over. */
export interface OpenLetter {
  readonly id: number;
  readonly position: number;
  readonly key: string | null;
  readonly state: 'marking' | 'parked' | 'held' | 'retrying';
  readonly outcome: LetterOutcome;
}
