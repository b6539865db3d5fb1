import { has, outside, rowsOf, type Transaction } from './transaction.ts';

interface Unsafe {
  unsafe(text: string, values: (string | null)[]): PromiseLike<unknown>;
}

/** The `sql` that `sql.begin()` of postgres.js hands to its callback, or a reserved connection after BEGIN. */
export type PostgresJsTransaction = Unsafe & ({ savepoint: unknown } | { release(): void });

/**
 * Only what `begin()` hands out has `savepoint()`, but it keeps it when the transaction has ended; and what happens on a
 * reserved connection is the caller's affair. Neither proves a transaction.
 */
export function recognisePostgresJs(handle: object): Transaction | undefined {
  if (!has(handle, 'unsafe')) return undefined;
  if (!has(handle, 'savepoint') && !has(handle, 'release')) {
    throw outside(
      'the `sql` of postgres.js is not a transaction: each of its statements may run on another connection',
      'Call it inside `sql.begin(async (tx) => ...)` and hand in `tx`.',
    );
  }
  const tx = handle as Unsafe;
  return { run: async (text, values) => rowsOf(await tx.unsafe(text, [...values])), proven: false };
}
