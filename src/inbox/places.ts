import type { Transaction } from '../postgres/transaction-handle.ts';
import type { InboxRecord } from './record.ts';

export interface PlaceQuery {
  readonly consumer: string;
  readonly stream: string;
}

/** What a consumer has recorded at one place of a stream; several events where their places are not known better. */
export interface RecordedPlace {
  readonly sequence: number;
  readonly eventIds: ReadonlySet<string>;
}

/** The last places of a stream that a consumer has recorded, from this one down. */
export async function placesUpTo(
  transaction: Transaction,
  { consumer, stream, upTo, atMost }: PlaceQuery & { readonly upTo: number; readonly atMost: number },
): Promise<RecordedPlace[]> {
  const rows = await transaction.run(
    `SELECT sequence::text, json_agg(event_id)::text AS ids FROM postcommit.inbox
      WHERE consumer = $1::text AND stream = $2::text AND sequence <= $3::text::bigint
      GROUP BY inbox.sequence ORDER BY inbox.sequence DESC LIMIT $4::text::integer`,
    [consumer, stream, String(upTo), String(atMost)],
  );
  return rows.map(({ sequence, ids }) => ({
    sequence: Number(sequence),
    eventIds: new Set(JSON.parse(String(ids)) as string[]),
  }));
}

/**
 * Events that were recorded before and came again, further back in the stream: their rows are not pruned before the
 * stream has let go of the last copy.
 */
export async function liftPlaces(
  transaction: Transaction,
  { consumer, events }: { readonly consumer: string; readonly events: readonly InboxRecord[] },
): Promise<void> {
  await transaction.run(
    `UPDATE postcommit.inbox i SET sequence = copy.sequence
       FROM json_to_recordset($2::text::json) AS copy ("eventId" text, stream text, sequence bigint)
      WHERE i.consumer = $1::text AND i.event_id = copy."eventId" AND i.stream = copy.stream
        AND i.sequence < copy.sequence`,
    [consumer, JSON.stringify(events)],
  );
}

/** The stream does not hold what was recorded beyond this place: those events lie behind it, if anywhere. */
export async function lowerPlaces(
  transaction: Transaction,
  { consumer, stream, to }: PlaceQuery & { readonly to: number },
): Promise<void> {
  await transaction.run(
    `UPDATE postcommit.inbox SET sequence = $3::text::bigint
      WHERE consumer = $1::text AND stream = $2::text AND sequence > $3::text::bigint`,
    [consumer, stream, String(to)],
  );
}
