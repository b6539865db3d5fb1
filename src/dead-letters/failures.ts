import type { Transaction } from '../postgres/transaction-handle.ts';
import type { FailedAttempt } from './failures-schema.ts';

/** An event whose handler failed. */
export interface FailedEvent {
  readonly consumer: string;
  readonly eventId: string;
  readonly stream: string;
  readonly sequence: number;
}

export interface Failures {
  readonly attempts: number;
  readonly history: readonly FailedAttempt[];
  /** ISO 8601. */
  readonly firstFailedAt: string;
}

/** How many attempts are told; more are counted. */
const TOLD = 20;
const LONGEST_REASON = 2_000;

/** Counts one more failed attempt and returns all of them. */
export async function countFailure(
  transaction: Transaction,
  event: FailedEvent,
  reason: string,
): Promise<Failures> {
  const [row] = await transaction.run(
    `INSERT INTO postcommit.consumer_failures AS f (consumer, event_id, stream, sequence, attempts, history)
     VALUES ($1::text, $2::text, $3::text, $4::text::bigint, 1, ${attemptJson('$5')})
     ON CONFLICT (consumer, event_id) DO UPDATE
        SET attempts = f.attempts + 1, last_failed_at = clock_timestamp(),
            history = ${lastOf(`f.history || ${attemptJson('$5')}`)}
     RETURNING attempts::text AS attempts, history::text AS history, to_json(first_failed_at) #>> '{}' AS first`,
    [event.consumer, event.eventId, event.stream, String(event.sequence), shortened(reason)],
  );
  return {
    attempts: Number(row?.attempts),
    history: JSON.parse(String(row?.history)) as FailedAttempt[],
    firstFailedAt: String(row?.first),
  };
}

/** The failures of an event that may still succeed; undefined if there are none. */
export async function failuresOf(
  transaction: Transaction,
  { consumer, eventId }: { readonly consumer: string; readonly eventId: string },
): Promise<{ readonly attempts: number; readonly lastReason: string } | undefined> {
  const [row] = await transaction.run(
    `SELECT attempts::text AS attempts, history -> -1 ->> 'reason' AS reason FROM postcommit.consumer_failures
      WHERE consumer = $1::text AND event_id = $2::text`,
    [consumer, eventId],
  );
  return row === undefined ? undefined : { attempts: Number(row.attempts), lastReason: String(row.reason) };
}

/** They are over: with the effect, or with the dead letter. */
export async function forgetFailures(
  transaction: Transaction,
  { consumer, eventIds }: { consumer: string; eventIds: readonly string[] },
): Promise<void> {
  await transaction.run(
    `DELETE FROM postcommit.consumer_failures
      WHERE consumer = $1::text AND event_id IN (SELECT json_array_elements_text($2::text::json))`,
    [consumer, JSON.stringify(eventIds)],
  );
}

/** Those of events that never came again (a purged stream): removed some time after the last one. */
export async function pruneFailures(
  transaction: Transaction,
  { consumer, olderThanMs }: { consumer: string; olderThanMs: number },
): Promise<void> {
  await transaction.run(
    `DELETE FROM postcommit.consumer_failures
      WHERE consumer = $1::text AND last_failed_at < clock_timestamp() - $2::text::float8 * interval '1 millisecond'`,
    [consumer, String(olderThanMs)],
  );
}

/** One attempt as it is kept, from a parameter with its reason. */
export function attemptJson(parameter: string): string {
  return `jsonb_build_array(jsonb_build_object('at', to_json(clock_timestamp()) #>> '{}', 'reason', ${parameter}::text))`;
}

/** The last attempts of a history. */
export function lastOf(history: string): string {
  return `(SELECT coalesce(jsonb_agg(one ORDER BY place), '[]') FROM (
             SELECT one, place FROM jsonb_array_elements(${history}) WITH ORDINALITY AS told (one, place)
              ORDER BY place DESC LIMIT ${TOLD}) last)`;
}

/** What a database takes as text, and not more than a person reads. */
export function shortened(reason: string): string {
  return reason.replaceAll('\0', '').slice(0, LONGEST_REASON);
}
