import { has, outside, rowsOf, type Transaction, transactionEnded } from './transaction.ts';

/** The `tx` that Prisma's `prisma.$transaction(async (tx) => ...)` hands to its callback. */
export interface PrismaTransaction {
  $queryRawUnsafe(text: string, ...values: (string | null)[]): PromiseLike<unknown>;
  /** A PrismaClient has one. */
  readonly $connect?: never;
}

/**
 * A PrismaClient with all but `$connect()` and its like taken away (`$transaction()` stays, for savepoints). It looks the
 * same when the transaction has ended, and Prisma alone knows the connection: it proves none.
 */
export function recognisePrisma(handle: object): Transaction | undefined {
  if (!has(handle, '$queryRawUnsafe')) return undefined;
  if (has(handle, '$connect')) {
    throw outside(
      'a PrismaClient is not a transaction: each of its statements may run on another connection',
      'Call it inside `prisma.$transaction(async (tx) => ...)` and hand in `tx`.',
    );
  }
  return { run: runOf(handle as PrismaTransaction), proven: false };
}

/** Prisma's word for a transaction that has ended or timed out. */
const CLOSED = 'P2028';

function runOf(tx: PrismaTransaction): Transaction['run'] {
  return async (text, values) => {
    try {
      return rowsOf(await tx.$queryRawUnsafe(text, ...values));
    } catch (error) {
      throw error instanceof Error && 'code' in error && error.code === CLOSED
        ? transactionEnded(error)
        : error;
    }
  };
}
