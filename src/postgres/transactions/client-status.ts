import { has, outside, transactionFailed } from './transaction.ts';

/**
 * What a `pg` client knows of its transaction from the server's last answer: true for one that is open. False where it
 * cannot tell: an older version, `pg-native`, and a statement that is under way, which may be the COMMIT.
 *
 * @throws PostcommitError `outside-transaction` if there is none, or one that failed.
 */
export function provenByClient(client: object, hint: string): boolean {
  if (!has(client, 'getTransactionStatus')) return false;
  const status: unknown = client.getTransactionStatus();
  if (status === 'E') throw transactionFailed();
  if (status === 'I') throw outside('the client is not in a transaction', hint);
  // It reports a failed statement a moment before it learns its status: right after a COMMIT that failed, it still says
  // that it is in the transaction.
  return status === 'T' && (client as { readyForQuery?: unknown }).readyForQuery !== false;
}
