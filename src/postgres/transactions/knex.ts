import { messageOf } from '../../errors.ts';
import { has, outside, rowsOf, type Transaction, transactionEnded } from './transaction.ts';

/** Knex' `trx`, of `knex.transaction()` with and without a callback. */
export interface KnexTransaction {
  raw(text: string, bindings: (string | null)[]): PromiseLike<unknown>;
  isCompleted(): boolean;
}

/**
 * Only a transaction has `isCompleted()`. Knex sets it as it sends the COMMIT and sends nothing for this transaction
 * afterwards: what is sent is sent within.
 */
export function recogniseKnex(handle: object): Transaction | undefined {
  if (!has(handle, 'raw') || !has(handle, 'transaction')) return undefined;
  if (!has(handle, 'isCompleted')) {
    throw outside(
      '`knex` is not a transaction: each of its statements may run on another connection',
      'Call it inside `knex.transaction(async (trx) => ...)` and hand in `trx`.',
    );
  }
  const trx = handle as unknown as KnexTransaction;
  if (trx.isCompleted()) throw transactionEnded();
  return { run: runOf(trx), proven: true };
}

function runOf(trx: KnexTransaction): Transaction['run'] {
  return async (text, values) => {
    const { asked, bindings, sent } = withQuestionMarks(text, values);
    try {
      return rowsOf(await trx.raw(asked, bindings));
    } catch (error) {
      if (/^Transaction query already complete/.test(messageOf(error))) throw transactionEnded(error);
      throw withoutStatement(error, sent);
    }
  };
}

/** Knex counts its placeholders, so that a value has to be there as often as it is used; and it sends them numbered again. */
function withQuestionMarks(text: string, values: readonly (string | null)[]) {
  const bindings: (string | null)[] = [];
  const asked = text.replace(/\$(\d+)/g, (_, number) => {
    bindings.push(values[Number(number) - 1] ?? null);
    return '?';
  });
  let count = 0;
  return { asked, bindings, sent: asked.replace(/\?/g, () => `$${++count}`) };
}

/** Knex writes the statement before the server's words. */
function withoutStatement(error: unknown, sent: string): unknown {
  const prefix = `${sent} - `;
  if (error instanceof Error && error.message.startsWith(prefix))
    error.message = error.message.slice(prefix.length);
  return error;
}
