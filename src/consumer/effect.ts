import { PostcommitError } from '../errors.ts';
import { type InboxRecord, recordIfNew } from '../inbox/record.ts';
import { isContentionState, isOutageState, serverErrorOf, withoutWrapper } from '../postgres/server-error.ts';
import { recogniseTransaction, type TransactionHandle } from '../postgres/transaction-handle.ts';
import type { Transact } from './database.ts';

/** How one attempt at an effect ended. */
export type EffectOutcome =
  | { readonly kind: 'effect' }
  | { readonly kind: 'duplicate' }
  /** The handler's doing, or another transaction in its way: worth another attempt later. */
  | { readonly kind: 'failed'; readonly error: unknown }
  /** The database's: says nothing about this message. */
  | { readonly kind: 'unavailable'; readonly error: unknown };

export interface Effect<Tx> {
  readonly record: InboxRecord;
  work(tx: Tx): Promise<void>;
}

/** How far an attempt got. */
interface Progress {
  at: 'record' | 'handler' | 'commit';
  /** What the handler threw, if it did. */
  handlerError?: unknown;
}

/** Runs the work in one transaction with its inbox row, unless that row is there already (G5). */
export async function attemptEffect<Tx>(transact: Transact<Tx>, effect: Effect<Tx>): Promise<EffectOutcome> {
  const progress: Progress = { at: 'record' };
  try {
    return await transact<EffectOutcome>(async (tx) => {
      const transaction = await recogniseTransaction(tx as TransactionHandle);
      if (!(await recordIfNew(transaction, effect.record))) return { kind: 'duplicate' };
      progress.at = 'handler';
      await effect.work(tx).catch((thrown: unknown) => {
        progress.handlerError = thrown;
        throw thrown;
      });
      progress.at = 'commit';
      return { kind: 'effect' };
    });
  } catch (thrown) {
    const error = withoutWrapper(thrown);
    return { kind: isDatabasesFault(progress, thrown) ? 'unavailable' : 'failed', error };
  }
}

/**
 * An outage is not poison (G7), and a failing handler is no outage. What counts is where it failed, not how the
 * error looks: a handler may talk to other servers that refuse connections.
 */
function isDatabasesFault({ at, handlerError }: Progress, thrown: unknown): boolean {
  const state = serverErrorOf(thrown)?.code;
  if (state !== undefined && isOutageState(state)) return true;
  switch (at) {
    case 'record':
      return state === undefined || !isContentionState(state);
    case 'handler':
      // The handler's own error comes through only if the rollback after it succeeded.
      return thrown !== handlerError;
    case 'commit':
      // No answer of the server: the outcome is unknown, and the inbox will tell. An answer is a deferred constraint,
      // a serialization failure, or an error that the handler swallowed.
      return state === undefined && !(thrown instanceof PostcommitError);
  }
}
