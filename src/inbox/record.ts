import type { Transaction } from '../postgres/transaction-handle.ts';

/** What a consumer has seen: one message, and where it came from. */
export interface InboxRecord {
  /** Who keeps the record; the durable's name. */
  readonly consumer: string;
  readonly eventId: string;
  readonly stream: string;
  readonly sequence: number;
}

/**
 * Records an event unless it was recorded before: false for a redelivery. While another transaction records the
 * same event, this one waits for its outcome, so that of two instances exactly one goes on.
 */
export async function recordIfNew(transaction: Transaction, record: InboxRecord): Promise<boolean> {
  const rows = await transaction.run(
    `INSERT INTO postcommit.inbox (consumer, event_id, stream, sequence)
     VALUES ($1::text, $2::text, $3::text, $4::text::bigint)
     ON CONFLICT DO NOTHING RETURNING true AS recorded`,
    [record.consumer, record.eventId, record.stream, String(record.sequence)],
  );
  return rows.length === 1;
}

/**
 * Records many events of one consumer and returns the ids that were new. In the order of their ids: two instances
 * with overlapping batches wait for each other instead of deadlocking.
 */
export async function recordNewOnes(
  transaction: Transaction,
  { consumer, events }: { consumer: string; events: readonly Omit<InboxRecord, 'consumer'>[] },
): Promise<Set<string>> {
  const rows = await transaction.run(
    `INSERT INTO postcommit.inbox (consumer, event_id, stream, sequence)
     SELECT $1::text, "eventId", stream, sequence
     FROM json_to_recordset($2::text::json) AS event ("eventId" text, stream text, sequence bigint)
     ORDER BY "eventId"
     ON CONFLICT DO NOTHING RETURNING event_id`,
    [consumer, JSON.stringify(events)],
  );
  return new Set(rows.map((row) => String(row.event_id)));
}
