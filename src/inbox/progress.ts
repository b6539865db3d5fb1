import type { Transaction } from '../postgres/transaction-handle.ts';

/** The highest place of a stream that a consumer has recorded; undefined if there is none. */
export async function highestPlace(
  transaction: Transaction,
  { consumer, stream }: { readonly consumer: string; readonly stream: string },
): Promise<number | undefined> {
  const [row] = await transaction.run(
    'SELECT max(sequence)::text AS highest FROM postcommit.inbox WHERE consumer = $1::text AND stream = $2::text',
    [consumer, stream],
  );
  return row?.highest == null ? undefined : Number(row.highest);
}

/** Names under which something is recorded here, at most ten. Reads the whole inbox. */
export async function recordingConsumers(transaction: Transaction): Promise<string[]> {
  const rows = await transaction.run(
    'SELECT DISTINCT consumer FROM postcommit.inbox ORDER BY consumer LIMIT 10',
    [],
  );
  return rows.map(({ consumer }) => String(consumer));
}
