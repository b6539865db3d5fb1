import type { Transaction } from '../postgres/transaction-handle.ts';

export interface EventPlace {
  readonly position: number;
  readonly subject: string;
}

/** Where an event lies in the outbox of a database, if it does. */
export interface FoundEvent {
  readonly database: string;
  /** Null: it is not there, or not committed. */
  readonly row: EventPlace | null;
  /** Committed rows in all, counted up to 1,000. */
  readonly rows: number;
}

/** Reads the whole outbox. */
export async function findEvent(transaction: Transaction, eventId: string): Promise<FoundEvent> {
  const [row] = await transaction.run(
    `SELECT current_database()::text AS database, found.position::text AS position, found.subject,
            (SELECT count(*) FROM (SELECT FROM postcommit.outbox LIMIT 1000) counted)::text AS rows
       FROM (SELECT) AS one
       LEFT JOIN LATERAL (SELECT position, subject FROM postcommit.outbox
                           WHERE event_id::text = $1::text ORDER BY position DESC LIMIT 1) found ON true`,
    [eventId],
  );
  return {
    database: String(row?.database),
    row: row?.position == null ? null : { position: Number(row.position), subject: String(row.subject) },
    rows: Number(row?.rows),
  };
}
