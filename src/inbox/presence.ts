import { PostcommitError } from '../errors.ts';
import type { Transaction } from '../postgres/transaction-handle.ts';

/** @throws PostcommitError `migration-missing` if this database has no inbox, or one of an older version. */
export async function requireInbox(transaction: Transaction): Promise<void> {
  const rows = await transaction.run(
    `SELECT to_regclass('postcommit.inbox') IS NOT NULL AS present,
            to_regclass('postcommit.consumer_leases') IS NOT NULL AS current`,
    [],
  );
  if (rows[0]?.present === true && rows[0].current === true) return;
  throw new PostcommitError(
    'migration-missing',
    rows[0]?.present === true
      ? 'the inbox of the consumer is of an older version'
      : 'the database of the consumer has no inbox',
    'Run `postcommit migrate` on it: the inbox lives where the effects do.',
  );
}
