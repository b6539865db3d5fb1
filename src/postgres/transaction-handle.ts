import { PostcommitError } from '../errors.ts';

/** A `pg` client inside a transaction, or anything else that runs a statement on the connection of one. */
export interface QueryHandle {
  query(text: string, values: unknown[]): PromiseLike<unknown>;
  /** A pool has one. Its statements go to any connection, so that a pool can never be a transaction. */
  readonly totalCount?: never;
}

/** The `tx` that Drizzle's `db.transaction()` hands to its callback. */
export interface DrizzleTransaction {
  execute(statement: never): PromiseLike<unknown>;
  rollback(): never;
}

/** The caller's transaction, recognised by its structure: postcommit imports no driver and no ORM for it. */
export type TransactionHandle = QueryHandle | DrizzleTransaction;

export type Row = Readonly<Record<string, unknown>>;

/** Statements in the caller's transaction, whatever the driver. */
export interface Transaction {
  /** Parameters are strings or null and cast in the text: what every driver sends alike. */
  run(text: string, values: readonly (string | null)[]): Promise<readonly Row[]>;
  /** False where only the server can tell whether there is a transaction at all. */
  readonly proven: boolean;
}

/** @throws PostcommitError `outside-transaction` for a handle that is no transaction, as far as its structure tells. */
export async function recogniseTransaction(handle: TransactionHandle): Promise<Transaction> {
  if (isDrizzleTransaction(handle)) return drizzleTransaction(handle);
  refusePoolsAndDatabases(handle);
  refuseWrongStatus(handle);
  const run: Transaction['run'] = async (text, values) => rowsOf(await handle.query(text, [...values]));
  return { run, proven: has(handle, 'getTransactionStatus') && isIdle(handle) };
}

/**
 * A `pg` client learns its status when a statement has ended, and reports a failed one a moment before that: right
 * after a COMMIT that failed, it still says that it is in the transaction.
 */
function isIdle(handle: object): boolean {
  return (handle as { readyForQuery?: unknown }).readyForQuery !== false;
}

function isDrizzleTransaction(handle: TransactionHandle): handle is DrizzleTransaction {
  return has(handle, 'execute') && has(handle, 'rollback');
}

async function drizzleTransaction(handle: DrizzleTransaction): Promise<Transaction> {
  const { sql } = await import('drizzle-orm');
  return {
    async run(text, values) {
      // Without values, dollars are its own.
      if (values.length === 0) return rowsOf(await handle.execute(sql.raw(text) as never));
      const pieces = text.split(/\$(\d+)/);
      const chunks = pieces.map((piece, i) =>
        i % 2 === 0 ? sql.raw(piece) : sql.param(values[Number(piece) - 1]),
      );
      return rowsOf(await handle.execute(sql.join(chunks) as never));
    },
    proven: true,
  };
}

function refusePoolsAndDatabases(handle: object): void {
  if (has(handle, 'execute') && has(handle, 'transaction')) {
    throw outside(
      'a Drizzle database is not a transaction',
      'Call it inside `db.transaction(async (tx) => ...)` and hand in `tx`.',
    );
  }
  if (has(handle, 'connect') && 'totalCount' in handle) {
    throw outside(
      'a pool is not a transaction: each of its statements may run on another connection',
      'Take a client with `await pool.connect()`, run BEGIN on it and hand in the client.',
    );
  }
  if (!has(handle, 'query')) {
    throw outside(
      'the handle has neither query() nor execute() and rollback()',
      'Hand in a `pg` client inside a transaction, a Drizzle transaction, or an object with query(text, values).',
    );
  }
}

function refuseWrongStatus(handle: object): void {
  if (!has(handle, 'getTransactionStatus')) return;
  const status: unknown = handle.getTransactionStatus();
  if (status === 'T') return;
  if (status === 'E') throw transactionFailed();
  throw outside(
    'the client is not in a transaction',
    'Await `client.query("BEGIN")` on the same client first.',
  );
}

/** For a transaction that only waits for its ROLLBACK. */
export function transactionFailed(): PostcommitError {
  return outside(
    'the transaction has failed already and can only be rolled back',
    'Look for the first error in it, which something swallowed; use a savepoint where an error is expected.',
  );
}

function outside(message: string, hint: string): PostcommitError {
  return new PostcommitError('outside-transaction', message, hint);
}

function has<Name extends string>(object: object, name: Name): object is Record<Name, () => unknown> {
  return typeof (object as Record<string, unknown>)[name] === 'function';
}

/** `pg` and most others answer `{ rows }`, postgres.js an array. */
function rowsOf(result: unknown): readonly Row[] {
  if (Array.isArray(result)) return result;
  const rows = (result as { rows?: unknown } | null | undefined)?.rows;
  return Array.isArray(rows) ? rows : [];
}
