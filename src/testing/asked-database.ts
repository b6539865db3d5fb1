import type { DrizzleDatabase } from '../consumer/index.ts';
import { PostcommitError } from '../errors.ts';
import {
  type QueryHandle,
  type Row,
  recogniseTransaction,
  type Transaction,
  type TransactionHandle,
} from '../postgres/transaction-handle.ts';

/** A `pg.Pool` or client, a Drizzle database, or anything else with `query(text, values)`. */
export type AskedDatabase = Pick<QueryHandle, 'query'> | DrizzleDatabase;

/**
 * Runs single statements there, each with a view of its own of what is committed.
 *
 * @throws PostcommitError `config-invalid` for anything else.
 */
export function asking(db: AskedDatabase): Transaction {
  // Drizzle's `query` is no function.
  if ('query' in db && typeof db.query === 'function') {
    const query: QueryHandle['query'] = (text, values) => db.query(text, values);
    return recogniseTransaction({ query });
  }
  const { transaction } = db as DrizzleDatabase;
  if (typeof transaction !== 'function')
    throw new PostcommitError(
      'config-invalid',
      'an effect is waited for in a database that can be asked, and this is none that is known',
      'Hand in a pg.Pool, a Drizzle database, or { query: (text, values) => … } around what your library runs SQL with.',
    );
  return {
    proven: false,
    async run(text, values) {
      const rows = await transaction.call(db, (tx) =>
        recogniseTransaction(tx as TransactionHandle).run(text, values),
      );
      return rows as readonly Row[];
    },
  };
}
