import { provenByClient } from './client-status.ts';
import { type QueryHandle, runOf } from './query-handle.ts';
import { has, outside, rowsOf, type Transaction } from './transaction.ts';

/** The `tx` that Drizzle's `db.transaction()` hands to its callback, of 0.45 and of 1.0. */
export interface DrizzleTransaction {
  execute(statement: never): PromiseLike<unknown>;
  rollback(): never;
}

const HINT = 'Call it inside `db.transaction(async (tx) => ...)` and hand in `tx`.';

/**
 * Only a transaction has `rollback()`, and keeps it when it has ended. The `pg` client below knows whether it is open, and
 * gets the statements itself: `execute()` sends them a few turns later, when a COMMIT may have gone first (and tells them to
 * Drizzle's logger, payload and all). What lies below other drivers knows nothing.
 */
export function recogniseDrizzle(handle: object): Transaction | undefined {
  if (!has(handle, 'execute')) return undefined;
  if (has(handle, 'rollback')) return transactionOf(handle as DrizzleTransaction);
  if (has(handle, 'transaction')) throw outside('a Drizzle database is not a transaction', HINT);
  return undefined;
}

function transactionOf(tx: DrizzleTransaction): Transaction {
  const { session } = tx as { readonly session?: { readonly client?: object } };
  const client = session?.client;
  if (client !== undefined && has(client, 'query') && provenByClient(client, HINT)) {
    return { run: runOf(client as QueryHandle), proven: true };
  }
  return {
    run: async (text, values) => rowsOf(await tx.execute(statement(text, values) as never)),
    proven: false,
  };
}

/**
 * What `execute()` asks of a statement made with Drizzle's `sql`: its SQL, which turns into text and parameters. Made
 * here, so that no copy of `drizzle-orm` has to be found, which might be of another version than the caller's.
 */
function statement(text: string, values: readonly (string | null)[]): object {
  const query = { toQuery: () => ({ sql: text, params: [...values] }) };
  return { getSQL: () => query };
}
