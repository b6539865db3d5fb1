import { PostcommitError } from '../errors.ts';
import type { Transaction } from '../postgres/transaction-handle.ts';

/** What a consumer does to the tables of its database. */
const NEEDED = {
  inbox: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  consumer_leases: ['SELECT', 'INSERT', 'UPDATE'],
  consumer_failures: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  dead_letters: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
} as const;

/**
 * @throws PostcommitError `migration-missing` if this database has no inbox, or one of an older version, and
 * `database-unsuitable` if the role may not do there what a consumer does; `leases`: it keeps an order.
 */
export async function requireInbox(
  transaction: Transaction,
  { leases }: { readonly leases: boolean },
): Promise<void> {
  const rows = await transaction.run(
    `SELECT to_regclass('postcommit.inbox') IS NOT NULL AS present,
            to_regclass('postcommit.consumer_leases') IS NOT NULL AS current`,
    [],
  );
  if (rows[0]?.present !== true || rows[0].current !== true)
    throw new PostcommitError(
      'migration-missing',
      rows[0]?.present === true
        ? 'the inbox of the consumer is of an older version'
        : 'the database of the consumer has no inbox',
      'Run `postcommit migrate` on it: the inbox lives where the effects do.',
    );
  const { consumer_leases, ...always } = NEEDED;
  await requirePrivileges(transaction, leases ? { ...always, consumer_leases } : always);
}

async function requirePrivileges(transaction: Transaction, needed: Partial<typeof NEEDED>): Promise<void> {
  const rows = await transaction.run(
    `SELECT current_user::text AS role,
            (SELECT json_agg(privilege || ' on postcommit.' || name)::text
               FROM json_each($1::text::json) AS needed (name, privileges), json_array_elements_text(privileges) AS privilege
              WHERE NOT CASE privilege WHEN 'DELETE' THEN has_table_privilege('postcommit.' || name, privilege)
                                       ELSE has_any_column_privilege('postcommit.' || name, privilege) END) AS missing`,
    [JSON.stringify(needed)],
  );
  const missing = JSON.parse(String(rows[0]?.missing ?? '[]')) as string[];
  if (missing.length === 0) return;
  throw new PostcommitError(
    'database-unsuitable',
    `the role '${rows[0]?.role}' lacks what a consumer needs: ${missing.join(', ')}`,
    "Grant it (docs/roles-and-privileges.md, 'Consumer').",
  );
}
