import { PostcommitError } from '../errors.ts';
import type { Transaction } from '../postgres/transaction-handle.ts';

/** @throws PostcommitError `migration-missing` if this database has no inbox. */
export async function requireInbox(transaction: Transaction): Promise<void> {
  const rows = await transaction.run("SELECT to_regclass('postcommit.inbox') IS NOT NULL AS present", []);
  if (rows[0]?.present === true) return;
  throw new PostcommitError(
    'migration-missing',
    'the database of the consumer has no inbox',
    'Run `postcommit migrate` on it: the inbox lives where the effects do.',
  );
}
