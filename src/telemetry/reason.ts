import { messageOf, withoutWrapper } from '../errors.ts';
import { redact } from './redact.ts';

/**
 * What somebody else's error says, fit for a log and for whoever reads a dead letter: without the data that drivers, ORMs and
 * JSON.parse quote in their messages. What a handler says in an error of its own is its own affair.
 */
export function reasonOf(thrown: unknown): string {
  const error = withoutWrapper(thrown);
  const message = messageOf(error);
  if (error instanceof SyntaxError && FROM_JSON_PARSE.test(message)) return 'a text is not valid JSON';
  return redact(isDataException(error) ? message.replace(/".*"/s, '"…"') : message);
}

const FROM_JSON_PARSE = /is not valid JSON$|\bJSON at position\b|\bJSON input\b/;

/** SQLSTATE class 22: `invalid input syntax for type uuid: "…"`. Other classes name what is in the schema. */
function isDataException(error: unknown): boolean {
  if (!(error instanceof Error) || !('severity' in error) || !('code' in error)) return false;
  return /^22[0-9A-Z]{3}$/.test(String(error.code));
}
