import { withoutWrapper } from '../errors.ts';

/** What PostgreSQL said about a statement, in the words of the wire protocol. */
export interface ServerError {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly constraint?: string;
}

/** What the server answered, undefined for anything that is not an answer of PostgreSQL. */
export function serverErrorOf(thrown: unknown): ServerError | undefined {
  const error = withoutWrapper(thrown);
  if (!(error instanceof Error)) return undefined;
  if ('meta' in error) return answerToPrisma(error.meta);
  // postgres.js calls the constraint `constraint_name`.
  const { code, severity, hint, constraint, constraint_name } = error as Error & Record<string, unknown>;
  if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code) || severity === undefined) return undefined;
  const named = constraint ?? constraint_name;
  return {
    code,
    message: error.message,
    ...(typeof hint === 'string' ? { hint } : {}),
    ...(typeof named === 'string' ? { constraint: named } : {}),
  };
}

/** Prisma's errors have codes of its own, and keep the server's answer, without the constraint, in a place of its driver's. */
function answerToPrisma(meta: unknown): ServerError | undefined {
  const { driverAdapterError } = (meta ?? {}) as { driverAdapterError?: { cause?: Record<string, unknown> } };
  const { originalCode: code, originalMessage: message, hint } = driverAdapterError?.cause ?? {};
  if (typeof code !== 'string' || typeof message !== 'string') return undefined;
  return { code, message, ...(typeof hint === 'string' ? { hint } : {}) };
}

/**
 * True for what the server says while it goes down, comes up, fails over or runs out of a resource: connection
 * exceptions, insufficient resources, shutdown, I/O errors, a primary that became a standby.
 */
export function isOutageState(code: string): boolean {
  return /^(08|53|58)/.test(code) || /^57P0[1-5]$/.test(code) || code === '25006';
}
