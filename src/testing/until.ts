import { AssertionError } from 'node:assert';
import { messageOf } from '../errors.ts';
import { isFound, keepLooking, type Look } from './looking.ts';

export interface UntilOptions {
  /** Default 10,000. */
  readonly timeoutMs?: number | undefined;
  /** Pause between two looks in milliseconds. Default 20. */
  readonly everyMs?: number | undefined;
  /** For the error, in words: `until …`. */
  readonly what?: string | undefined;
}

/** What ends a wait: anything but these. */
type Found<Value> = Exclude<Value, false | 0 | '' | null | undefined>;

export const TIMEOUT_MS = 10_000;

/**
 * Looks until the condition returns something truthy, and resolves to that. One that throws (an assertion, a server that is
 * away) is looked at again.
 *
 * @throws AssertionError after `timeoutMs`, with what the last look threw as its `cause`.
 */
export async function until<Value>(
  condition: () => Value | Promise<Value>,
  { timeoutMs = TIMEOUT_MS, everyMs = 20, what = 'the condition holds' }: UntilOptions = {},
): Promise<Found<Value>> {
  const last = await keepLooking(condition, { timeoutMs, everyMs });
  if (isFound(last)) return last.value as Found<Value>;
  const message = `waited ${timeoutMs} ms in vain until ${what}${troubleOf(last)}`;
  const error = new AssertionError({ message, operator: 'until' });
  throw last.kind === 'threw' ? Object.assign(error, { cause: last.error }) : error;
}

/** Why nothing was seen, to go behind a sentence. */
export function troubleOf(last: Look<unknown>): string {
  switch (last.kind) {
    case 'seen':
      return '';
    case 'threw':
      return `; the last look failed: ${messageOf(last.error)}`;
    case 'unanswered':
      return '; the last look was not answered';
  }
}
