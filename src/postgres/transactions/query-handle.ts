import { provenByClient } from './client-status.ts';
import { has, outside, rowsOf, type Transaction } from './transaction.ts';

/** A `pg` client inside a transaction, TypeORM's, or anything else that runs a statement on the connection of one. */
export interface QueryHandle {
  query(text: string, values: unknown[]): PromiseLike<unknown>;
  /** A `pg.Pool` has one. Its statements go to any connection, so that a pool can never be a transaction. */
  readonly totalCount?: never;
  /** TypeORM's DataSource has one, and is a pool too. */
  readonly isInitialized?: never;
}

/** A `pg` client says itself whether it is in a transaction. Of any other object nothing proves it. */
export function recogniseQueryHandle(handle: object): Transaction | undefined {
  if (has(handle, 'connect') && 'totalCount' in handle) {
    throw outside(
      'a pool is not a transaction: each of its statements may run on another connection',
      'Take a client with `await pool.connect()`, run BEGIN on it and hand in the client.',
    );
  }
  if (!has(handle, 'query')) return undefined;
  const proven = provenByClient(handle, 'Await `client.query("BEGIN")` on the same client first.');
  return { run: runOf(handle as QueryHandle), proven };
}

export function runOf(handle: QueryHandle): Transaction['run'] {
  return async (text, values) => rowsOf(await handle.query(text, [...values]));
}
