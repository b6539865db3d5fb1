import type { TransactionHandle } from '../../../src/index.ts';

/** A library with a pool of connections, as a user of it has it. */
export interface Library extends AsyncDisposable {
  /** One transaction: commits, or rolls back and rejects if the work does. */
  transaction<Result>(work: (within: Within) => Promise<Result>): Promise<Result>;
  /** What is no transaction of this library, and what the hint has to name. */
  readonly refused: readonly Refused[];
}

export interface Within {
  readonly tx: TransactionHandle;
  /** A part of the transaction in the library's own way: rolled back, and rejects, if the work does. */
  savepoint(work: (tx: TransactionHandle) => Promise<void>): Promise<void>;
  statement(text: string): PromiseLike<unknown>;
}

export interface Refused {
  readonly what: string;
  readonly handle: unknown;
  readonly hint: string;
}
