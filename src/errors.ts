/**
 * Why an operation failed, in words that do not change between releases. The command line turns each into
 * its documented exit code (see `src/cli/exit-codes.ts`).
 */
export type ErrorCode =
  | 'config-invalid'
  | 'event-invalid'
  | 'outside-transaction'
  | 'database-unreachable'
  | 'database-unsuitable'
  | 'migration-missing'
  | 'broker-unreachable'
  | 'stream-unsuitable'
  | 'service-failed';

/**
 * An error a person can act on: `message` says what happened and why, `hint` what to do next.
 * Neither ever holds a secret or a payload.
 */
export class PostcommitError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, hint: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'PostcommitError';
    this.code = code;
    this.hint = hint;
  }
}

/** The message of anything that was thrown; a client's nameless AggregateError yields its first cause. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.message === '') return messageOf(thrown.errors[0]);
  if (thrown instanceof Error)
    return typeof thrown.message === 'string' && thrown.message !== '' ? thrown.message : String(thrown.name);
  try {
    return String(thrown);
  } catch {
    return 'something was thrown that has no text'; // An object without a prototype, for instance.
  }
}

/**
 * The error below an ORM's own: Drizzle's wrapper prints every parameter of the statement in its message, TypeORM's has
 * them as a property, and payloads must not reach logs.
 */
export function withoutWrapper(thrown: unknown): unknown {
  let error = thrown;
  for (let below = belowWrapper(error); below !== undefined; below = belowWrapper(error)) error = below;
  return error;
}

function belowWrapper(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined;
  if ('params' in error) return error.cause;
  return 'parameters' in error && 'driverError' in error ? error.driverError : undefined;
}
