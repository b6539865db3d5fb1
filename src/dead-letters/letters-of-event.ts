import type { Transaction } from '../postgres/transaction-handle.ts';
import type { LetterOutcome, LetterState } from './letter.ts';

/** A dead letter of an event, in few words. */
export interface EventLetter {
  readonly id: number;
  /** Who set it aside; null: the relay. */
  readonly consumer: string | null;
  readonly state: LetterState;
  readonly outcome: LetterOutcome | 'failed';
  readonly reason: string;
  readonly attempts: number;
}

/** The dead letters of an event that the relay or this consumer has made, the newest first. */
export async function lettersOfEvent(
  transaction: Transaction,
  { consumer, eventId }: { readonly consumer: string | null; readonly eventId: string },
): Promise<EventLetter[]> {
  const rows = await transaction.run(
    `SELECT id::text, consumer, state, outcome, reason, attempts::text FROM postcommit.dead_letters
      WHERE event_id = $1::text AND (consumer IS NULL OR consumer = $2::text) ORDER BY id DESC`,
    [eventId, consumer],
  );
  return rows.map((row) => ({
    id: Number(row.id),
    consumer: row.consumer == null ? null : String(row.consumer),
    state: row.state as EventLetter['state'],
    outcome: row.outcome as EventLetter['outcome'],
    reason: String(row.reason),
    attempts: Number(row.attempts),
  }));
}
