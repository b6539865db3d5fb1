import { type DrizzleTransaction, recogniseDrizzle } from './transactions/drizzle.ts';
import { type KnexTransaction, recogniseKnex } from './transactions/knex.ts';
import { type KyselyTransaction, recogniseKysely } from './transactions/kysely.ts';
import { type PostgresJsTransaction, recognisePostgresJs } from './transactions/postgres-js.ts';
import { type PrismaTransaction, recognisePrisma } from './transactions/prisma.ts';
import { type QueryHandle, recogniseQueryHandle } from './transactions/query-handle.ts';
import { outside, type Recognise, type Transaction } from './transactions/transaction.ts';
import { recogniseTypeOrm } from './transactions/typeorm.ts';

export { type Row, type Transaction, transactionFailed } from './transactions/transaction.ts';
export type {
  DrizzleTransaction,
  KnexTransaction,
  KyselyTransaction,
  PostgresJsTransaction,
  PrismaTransaction,
  QueryHandle,
};

/**
 * The caller's transaction, recognised by its structure: postcommit imports no driver and no ORM for it. TypeORM's
 * EntityManager and QueryRunner are query handles.
 */
export type TransactionHandle =
  | QueryHandle
  | DrizzleTransaction
  | PostgresJsTransaction
  | KyselyTransaction
  | KnexTransaction
  | PrismaTransaction;

/** Whatever has `query()` alone comes last: TypeORM's handles have it too. */
const LIBRARIES: readonly Recognise[] = [
  recogniseDrizzle,
  recognisePostgresJs,
  recogniseKysely,
  recogniseKnex,
  recognisePrisma,
  recogniseTypeOrm,
  recogniseQueryHandle,
];

/** @throws PostcommitError `outside-transaction` for a handle that is no transaction, as far as its structure tells. */
export function recogniseTransaction(handle: TransactionHandle): Transaction {
  if (isObject(handle)) {
    for (const recognise of LIBRARIES) {
      const transaction = recognise(handle);
      if (transaction !== undefined) return transaction;
    }
  }
  throw outside(
    'the handle is no transaction of a library that postcommit knows',
    'Hand in a `pg` client after BEGIN, the transaction of Drizzle, postgres.js, Kysely, Knex, Prisma or TypeORM, or an object with query(text, values).',
  );
}

/** Plain JavaScript may hand in anything; Knex' and postgres.js' transactions are functions. */
function isObject(handle: unknown): handle is object {
  return (typeof handle === 'object' && handle !== null) || typeof handle === 'function';
}
