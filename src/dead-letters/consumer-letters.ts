import { type ConsumerLease, leaseHeld } from '../lease/consumer-lease.ts';
import type { Row, Transaction } from '../postgres/transaction-handle.ts';
import type { FailedEvent, Failures } from './failures.ts';
import { attemptJson, lastOf, shortened } from './failures.ts';

/** A whole message, as a consumer's dead letter keeps it: no stream is asked for it again. */
export interface KeptMessage {
  readonly subject: string;
  readonly key: string | null;
  readonly type: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Uint8Array;
  /** Its place in the outbox it came from. */
  readonly position: number | null;
}

/** A dead letter that an operator wants tried again. */
export interface RetriedLetter extends FailedEvent, KeptMessage {
  readonly id: number;
  readonly firstFailedAt: Date;
}

/** The consumer gives the event up. In the transaction of its inbox row: neither is without the other. */
export async function writeConsumerLetter(
  transaction: Transaction,
  event: FailedEvent & KeptMessage,
  { reason, failures }: { reason: string; failures: Failures },
): Promise<void> {
  await transaction.run(
    `INSERT INTO postcommit.dead_letters (consumer, stream, position, sequence, event_id, subject, key, type, headers,
                                          payload, state, outcome, reason, attempts, history, first_failed_at)
     VALUES ($1::text, $2::text, $3::text::bigint, $4::text::bigint, $5::text, $6::text, $7::text, $8::text,
             $9::text::jsonb, decode($10::text, 'base64'), 'parked', 'failed', $11::text, $12::text::integer,
             $13::text::jsonb, $14::text::timestamptz)`,
    [
      event.consumer,
      event.stream,
      event.position === null ? null : String(event.position),
      String(event.sequence),
      event.eventId,
      event.subject,
      textOf(event.key),
      textOf(event.type),
      JSON.stringify(event.headers).replaceAll('\\u0000', ''),
      Buffer.from(event.payload).toString('base64'),
      shortened(reason),
      String(failures.attempts),
      JSON.stringify(failures.history),
      failures.firstFailedAt,
    ],
  );
}

export interface LetterLook {
  readonly consumer: string;
  readonly stream: string;
  /** Already in hand. */
  readonly besides: readonly number[];
  readonly atMost: number;
}

/** Letters that are to be tried again, oldest first. */
export async function lettersToRetry(
  transaction: Transaction,
  { consumer, stream, besides, atMost }: LetterLook,
): Promise<RetriedLetter[]> {
  const rows = await transaction.run(
    `SELECT id::text, consumer, event_id, stream, sequence::text, subject, key, type, headers::text,
            position::text, encode(payload, 'base64') AS payload, to_json(first_failed_at) #>> '{}' AS first
       FROM postcommit.dead_letters
      WHERE consumer = $1::text AND stream = $3::text AND state = 'retrying'
        AND id NOT IN (SELECT json_array_elements_text($2::text::json)::bigint)
      ORDER BY id LIMIT $4::text::integer`,
    [consumer, JSON.stringify(besides), stream, String(atMost)],
  );
  return rows.map(toLetter);
}

/**
 * In the transaction of the effect: the letter is over with it. False: it is not to be tried any more, another instance has
 * done so, is about to, or has taken over.
 */
export async function resolveLetter(
  transaction: Transaction,
  id: number,
  lease: ConsumerLease | undefined,
): Promise<boolean> {
  const rows = await transaction.run(
    `UPDATE postcommit.dead_letters SET state = 'resolved'
      WHERE id = (SELECT id FROM postcommit.dead_letters
                   WHERE id = $1::text::bigint AND state = 'retrying' AND ${rulingOf(lease, 2)}
                     FOR UPDATE SKIP LOCKED)
     RETURNING true AS resolved`,
    [String(id), ...valuesOf(lease)],
  );
  return rows.length === 1;
}

/** A condition with two parameters from this one on, or none. */
function rulingOf(lease: ConsumerLease | undefined, first: number): string {
  if (lease === undefined) return 'true';
  return leaseHeld({ consumer: `$${first}::text`, epoch: `$${first + 1}::text::bigint` });
}

function valuesOf(lease: ConsumerLease | undefined): string[] {
  return lease === undefined ? [] : [lease.consumer, String(lease.epoch)];
}

/** The retry failed too: it waits for another decision. */
export async function parkLetterAgain(
  transaction: Transaction,
  { id, reason, lease }: { id: number; reason: string; lease: ConsumerLease | undefined },
): Promise<void> {
  await transaction.run(
    `UPDATE postcommit.dead_letters
        SET state = 'parked', attempts = attempts + 1, reason = $2::text, last_failed_at = clock_timestamp(),
            history = ${lastOf(`history || ${attemptJson('$2')}`)}
      WHERE id = $1::text::bigint AND state = 'retrying' AND ${rulingOf(lease, 3)}`,
    [String(id), shortened(reason), ...valuesOf(lease)],
  );
}

/** Removes those that have been over for so long. */
export async function pruneConsumerLetters(
  transaction: Transaction,
  { consumer, olderThanMs }: { consumer: string; olderThanMs: number },
): Promise<void> {
  await transaction.run(
    `DELETE FROM postcommit.dead_letters
      WHERE consumer = $1::text AND state IN ('resolved', 'discarded')
        AND last_failed_at < clock_timestamp() - $2::text::float8 * interval '1 millisecond'`,
    [consumer, String(olderThanMs)],
  );
}

/** No text of PostgreSQL holds a NUL, which another publisher may have sent. */
function textOf(text: string | null): string | null {
  return text === null ? null : text.replaceAll('\0', '');
}

function toLetter(row: Row): RetriedLetter {
  const text = (name: string) => (row[name] == null ? null : String(row[name]));
  return {
    id: Number(row.id),
    consumer: String(row.consumer),
    eventId: String(row.event_id),
    stream: String(row.stream),
    sequence: Number(row.sequence),
    subject: String(row.subject),
    key: text('key'),
    type: text('type'),
    headers: JSON.parse(text('headers') ?? '{}') as Record<string, string>,
    position: row.position == null ? null : Number(row.position),
    payload: Buffer.from(text('payload') ?? '', 'base64'),
    firstFailedAt: new Date(text('first') ?? 0),
  };
}
