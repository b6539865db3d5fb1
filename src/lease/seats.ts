import type { Transaction } from '../postgres/transaction-handle.ts';

/** The relay that leads now; null if none does. */
export async function leadingRelay(transaction: Transaction): Promise<string | null> {
  const [row] = await transaction.run(
    'SELECT holder FROM postcommit.lease WHERE expires_at > clock_timestamp()',
    [],
  );
  return row?.holder == null ? null : String(row.holder);
}

/** A stream that a consumer of this name has worked on in an order, and whether an instance does now. */
export interface Seat {
  readonly stream: string;
  readonly active: boolean;
}

export async function seatsNamed(transaction: Transaction, durable: string): Promise<Seat[]> {
  const rows = await transaction.run(
    `SELECT split_part(consumer, '/', 1) AS stream,
            coalesce(holder IS NOT NULL AND expires_at > clock_timestamp(), false)::text AS active
       FROM postcommit.consumer_leases WHERE split_part(consumer, '/', 2) = $1::text ORDER BY consumer`,
    [durable],
  );
  return rows.map(({ stream, active }) => ({ stream: String(stream), active: active === 'true' }));
}
