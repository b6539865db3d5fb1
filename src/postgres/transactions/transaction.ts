import { PostcommitError } from '../../errors.ts';

export type Row = Readonly<Record<string, unknown>>;

/** Statements in the caller's transaction, whatever the driver. */
export interface Transaction {
  /**
   * Placeholders are `$1`, `$2`, …; parameters are strings or null and cast in the text: what every driver sends alike.
   * A text with parameters has no question mark, which some libraries take for one.
   */
  run(text: string, values: readonly (string | null)[]): Promise<readonly Row[]>;
  /**
   * True where a statement that is run at once, without awaiting anything first, is sent within the transaction. False
   * where only the server can tell whether there is one at all, or whether it is still there.
   */
  readonly proven: boolean;
}

/**
 * Looks whether a handle is of one library. Undefined: of another.
 *
 * @throws PostcommitError `outside-transaction` if it is of this one and no transaction.
 */
export type Recognise = (handle: object) => Transaction | undefined;

export function outside(message: string, hint: string, cause?: unknown): PostcommitError {
  return new PostcommitError(
    'outside-transaction',
    message,
    hint,
    cause === undefined ? undefined : { cause },
  );
}

/** For a transaction that only waits for its ROLLBACK. */
export function transactionFailed(): PostcommitError {
  return outside(
    'the transaction has failed already and can only be rolled back',
    'Look for the first error in it, which something swallowed; use a savepoint where an error is expected.',
  );
}

/** For a handle that outlived its transaction, most often because a promise inside was not awaited. */
export function transactionEnded(cause?: unknown): PostcommitError {
  return outside(
    'the transaction has ended already',
    'Await enqueue() before the transaction commits, rolls back or times out.',
    cause,
  );
}

export function has<Name extends string>(
  object: object,
  name: Name,
): object is Record<Name, (...parameters: never[]) => unknown> {
  return typeof (object as Record<string, unknown>)[name] === 'function';
}

/** `pg` and most others answer `{ rows }`; postgres.js, Prisma and TypeORM a list. */
export function rowsOf(result: unknown): readonly Row[] {
  if (Array.isArray(result)) return result;
  const rows = (result as { rows?: unknown } | null | undefined)?.rows;
  return Array.isArray(rows) ? rows : [];
}
