import type { Transaction } from '../postgres/transaction-handle.ts';

/** Whether operators have asked for something that the leader has not done yet. */
export async function hasOpenRequests(transaction: Transaction): Promise<boolean> {
  const [row] = await transaction.run(
    'SELECT EXISTS (SELECT FROM postcommit.requests WHERE finished_at IS NULL)::text AS open',
    [],
  );
  return row?.open === 'true';
}
