import { messageOf } from '../../errors.ts';
import { has, outside, rowsOf, type Transaction, transactionEnded } from './transaction.ts';

/** Kysely's `trx`, of `db.transaction().execute()` or of `db.startTransaction().execute()`. */
export interface KyselyTransaction {
  readonly isTransaction: true;
  executeQuery(query: never): PromiseLike<unknown>;
}

/**
 * `isTransaction` stays true to the end and beyond. Kysely itself refuses statements once the COMMIT has been answered,
 * not while it is under way: it does not prove that the transaction is open.
 */
export function recogniseKysely(handle: object): Transaction | undefined {
  if (!has(handle, 'executeQuery') || !('isTransaction' in handle)) return undefined;
  if (handle.isTransaction !== true) {
    throw outside(
      'a Kysely database is not a transaction',
      'Call it inside `db.transaction().execute(async (trx) => ...)` and hand in `trx`.',
    );
  }
  const { isCommitted, isRolledBack } = handle as { isCommitted?: unknown; isRolledBack?: unknown };
  if (isCommitted === true || isRolledBack === true) throw transactionEnded();
  return { run: runOf(handle as KyselyTransaction), proven: false };
}

function runOf(trx: KyselyTransaction): Transaction['run'] {
  return async (text, values) => {
    try {
      return rowsOf(await trx.executeQuery(compiled(text, values) as never));
    } catch (error) {
      throw /^Transaction is already /.test(messageOf(error)) ? transactionEnded(error) : error;
    }
  };
}

/** What Kysely's `CompiledQuery.raw()` makes: as compiled already, no plugin rewrites it. */
function compiled(text: string, values: readonly (string | null)[]): object {
  return {
    sql: text,
    parameters: [...values],
    query: { kind: 'RawNode', sqlFragments: [text], parameters: [] },
    queryId: { queryId: 'postcommit' },
  };
}
