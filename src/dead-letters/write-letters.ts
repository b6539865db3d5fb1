import type { NewLetter } from './letter.ts';

/**
 * The INSERT that sets events aside, for a statement whose `chair` holds the lease's row of this epoch or nothing. A
 * second refusal of an event counts up its attempts. `parameter` is what `lettersParameter()` yields.
 */
export function insertLetters(parameter: string): string {
  return `insert into postcommit.dead_letters as d (stream, position, event_id, subject, key, type, state, outcome, reason)
             select l.* from chair, jsonb_to_recordset(${parameter}::jsonb)
               as l(stream text, position int8, event_id text, subject text, key text, type text, state text,
                    outcome text, reason text)
             on conflict (position) where consumer is null do update
               set stream = excluded.stream, state = excluded.state, outcome = excluded.outcome,
                   reason = excluded.reason, attempts = d.attempts + 1, last_failed_at = clock_timestamp()`;
}

export function lettersParameter(letters: readonly NewLetter[]): string {
  return JSON.stringify(letters.map(({ eventId, ...letter }) => ({ event_id: eventId, ...letter })));
}
