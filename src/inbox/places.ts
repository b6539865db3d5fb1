import type { Transaction } from '../postgres/transaction-handle.ts';
import type { InboxRecord } from './record.ts';

export interface PlaceQuery {
  readonly consumer: string;
  readonly stream: string;
}

/** The last places of a stream that a consumer has recorded, from this one down, each once; the lowest one last. */
export async function placesUpTo(
  transaction: Transaction,
  { consumer, stream, upTo, atMost }: PlaceQuery & { readonly upTo: number; readonly atMost: number },
): Promise<number[]> {
  const next = (bound: string) => `(SELECT sequence FROM postcommit.inbox
      WHERE consumer = $1::text AND stream = $2::text AND sequence ${bound} ORDER BY sequence DESC LIMIT 1)`;
  const rows = await transaction.run(
    `WITH RECURSIVE places (sequence, n) AS (
       SELECT ${next('<= $3::text::bigint')}, 1
       UNION ALL
       SELECT ${next('< places.sequence')}, n + 1 FROM places WHERE places.sequence IS NOT NULL AND n < $4::text::integer)
     SELECT sequence::text FROM places WHERE sequence IS NOT NULL`,
    [consumer, stream, String(upTo), String(atMost)],
  );
  return rows.map(({ sequence }) => Number(sequence));
}

/** The lowest place of a stream that a consumer has recorded; undefined if there is none. */
export async function lowestPlace(
  transaction: Transaction,
  { consumer, stream }: PlaceQuery,
): Promise<number | undefined> {
  const [row] = await transaction.run(
    'SELECT min(sequence)::text AS lowest FROM postcommit.inbox WHERE consumer = $1::text AND stream = $2::text',
    [consumer, stream],
  );
  return row?.lowest == null ? undefined : Number(row.lowest);
}

/** The same, of what it has recorded and of what it has failed on. */
export async function lowestSeen(
  transaction: Transaction,
  { consumer, stream }: PlaceQuery,
): Promise<number | undefined> {
  const [row] = await transaction.run(
    `SELECT least((SELECT min(sequence) FROM postcommit.inbox WHERE consumer = $1::text AND stream = $2::text),
                  (SELECT min(sequence) FROM postcommit.consumer_failures
                    WHERE consumer = $1::text AND stream = $2::text))::text AS lowest`,
    [consumer, stream],
  );
  return row?.lowest == null ? undefined : Number(row.lowest);
}

/** What the inbox says of a place, where the stream holds this event now. */
export interface PlaceWitness {
  /** It was recorded there. */
  readonly agrees: boolean;
  /** Something else was, after the durable was made and before the stream stored what it holds now. */
  readonly contradicts: boolean;
}

export interface HeldEvent {
  readonly sequence: number;
  readonly eventId: string;
  readonly storedAt: Date;
}

/** Rows at one place that are asked: after a move many may share one. */
const ROWS_ASKED = 1_000;

export async function witnessOf(
  transaction: Transaction,
  { consumer, stream, held, since }: PlaceQuery & { readonly held: HeldEvent; readonly since: Date },
): Promise<PlaceWitness> {
  const here = `consumer = $1::text AND stream = $2::text AND sequence = $3::text::bigint`;
  const [row] = await transaction.run(
    `SELECT EXISTS (SELECT FROM postcommit.inbox WHERE event_id = $4::text AND ${here})::text AS agrees,
            EXISTS (SELECT FROM (SELECT recorded_at FROM postcommit.inbox WHERE ${here} LIMIT ${ROWS_ASKED}) rows
                     WHERE recorded_at > $5::text::timestamptz AND recorded_at < $6::text::timestamptz)::text AS other`,
    [consumer, stream, String(held.sequence), held.eventId, since.toISOString(), held.storedAt.toISOString()],
  );
  const agrees = row?.agrees === 'true';
  return { agrees, contradicts: !agrees && row?.other === 'true' };
}

/**
 * Events that were recorded before and came again, further back in the stream: their rows are not pruned before the
 * stream has let go of the last copy. In the order of their ids, as they are recorded: two instances do not deadlock.
 */
export async function liftPlaces(
  transaction: Transaction,
  { consumer, events }: { readonly consumer: string; readonly events: readonly InboxRecord[] },
): Promise<void> {
  await transaction.run(
    `WITH lifted AS MATERIALIZED (
       SELECT i.event_id, copy.sequence
         FROM json_to_recordset($2::text::json) AS copy ("eventId" text, stream text, sequence bigint)
         JOIN postcommit.inbox i ON i.consumer = $1::text AND i.event_id = copy."eventId" AND i.stream = copy.stream
        WHERE i.sequence < copy.sequence
        ORDER BY i.event_id FOR NO KEY UPDATE OF i)
     UPDATE postcommit.inbox i SET sequence = lifted.sequence FROM lifted
      WHERE i.consumer = $1::text AND i.event_id = lifted.event_id AND i.sequence < lifted.sequence`,
    [consumer, JSON.stringify(events)],
  );
}

/**
 * The stream does not hold what was recorded beyond this place until now: those events lie behind it, if anywhere. A portion
 * at a time; returns how many there were.
 */
export async function lowerPlaces(
  transaction: Transaction,
  {
    consumer,
    stream,
    to,
    recordedUntil,
    atMost,
  }: PlaceQuery & { readonly to: number; readonly recordedUntil: string; readonly atMost: number },
): Promise<number> {
  const rows = await transaction.run(
    `WITH beyond AS MATERIALIZED (
       SELECT event_id FROM postcommit.inbox
        WHERE consumer = $1::text AND stream = $2::text AND sequence > $3::text::bigint
          AND recorded_at <= $4::text::timestamptz
        LIMIT $5::text::integer)
     UPDATE postcommit.inbox i SET sequence = $3::text::bigint FROM beyond
      WHERE i.consumer = $1::text AND i.event_id = beyond.event_id AND i.sequence > $3::text::bigint
     RETURNING true AS lowered`,
    [consumer, stream, String(to), recordedUntil, String(atMost)],
  );
  return rows.length;
}

/** The database's clock, as it takes it. */
export async function databaseNow(transaction: Transaction): Promise<string> {
  const [row] = await transaction.run(`SELECT to_json(clock_timestamp()) #>> '{}' AS now`, []);
  return String(row?.now);
}
