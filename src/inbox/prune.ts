import type { Transaction } from '../postgres/transaction-handle.ts';

export interface InboxPruning {
  readonly consumer: string;
  readonly stream: string;
  /** The stream can deliver nothing below it any more. */
  readonly firstSequence: number;
  readonly olderThanMs: number;
  readonly atMost: number;
}

/** Forgets what the stream can no longer deliver, oldest first. Returns how many rows; fewer than `atMost`: that was all. */
export async function pruneInbox(transaction: Transaction, pruning: InboxPruning): Promise<number> {
  const { consumer, stream, firstSequence, olderThanMs, atMost } = pruning;
  const [row] = await transaction.run(
    `SELECT postcommit.inbox_prune($1::text, $2::text, $3::text::bigint,
                                   $4::text::float8 * interval '1 millisecond', $5::text::integer)::text AS pruned`,
    [consumer, stream, String(firstSequence), String(olderThanMs), String(atMost)],
  );
  return Number(row?.pruned ?? 0);
}
