import { type QueryHandle, runOf } from './query-handle.ts';
import { has, outside, type Transaction } from './transaction.ts';

const HINT = 'Call it inside `dataSource.transaction(async (manager) => ...)` and hand in `manager`.';

/**
 * An EntityManager has a query runner if it is bound to a connection, and that says whether it is in a transaction: from
 * before the BEGIN is sent until the COMMIT has been answered, and so it proves none.
 */
export function recogniseTypeOrm(handle: object): Transaction | undefined {
  if (!has(handle, 'query')) return undefined;
  if (has(handle, 'startTransaction')) return transactionOf(handle, handle);
  if (!has(handle, 'getRepository')) return undefined;
  if (has(handle, 'createQueryRunner')) {
    throw outside(
      'a DataSource is not a transaction: each of its statements may run on another connection',
      HINT,
    );
  }
  return transactionOf(handle, (handle as { queryRunner?: object }).queryRunner);
}

function transactionOf(handle: object, runner: object | undefined): Transaction {
  const { isTransactionActive } = (runner ?? {}) as { isTransactionActive?: unknown };
  if (isTransactionActive !== true) {
    throw outside(
      'TypeORM is not in a transaction here',
      `${HINT} A QueryRunner is in one after \`await queryRunner.startTransaction()\`.`,
    );
  }
  return { run: runOf(handle as QueryHandle), proven: false };
}
