import type { Transaction } from '../postgres/transaction-handle.ts';

/** Those of these events that the consumer has recorded. */
export async function recordedAmong(
  transaction: Transaction,
  { consumer, eventIds }: { readonly consumer: string; readonly eventIds: readonly string[] },
): Promise<Set<string>> {
  const rows = await transaction.run(
    `SELECT event_id FROM postcommit.inbox
      WHERE consumer = $1::text AND event_id IN (SELECT json_array_elements_text($2::text::json))`,
    [consumer, JSON.stringify(eventIds)],
  );
  return new Set(rows.map(({ event_id }) => String(event_id)));
}
