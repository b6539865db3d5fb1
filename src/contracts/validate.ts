import { PostcommitError } from '../errors.ts';
import type { SchemaIssue, StandardSchema } from './standard-schema.ts';

/** Where a payload is not what its schema asks for, without what stands there: this goes into logs. */
export interface PayloadIssue {
  /** `address.lines[0]`; empty for the payload as a whole. */
  readonly path: string;
  readonly message: string;
}

export type PayloadCheck<Output> =
  | { readonly kind: 'valid'; readonly value: Output }
  | { readonly kind: 'invalid'; readonly issues: readonly PayloadIssue[] };

/** The payload does not match the schema of its event. Nothing was written. */
export class InvalidPayload extends PostcommitError {
  readonly issues: readonly PayloadIssue[];

  constructor(event: string, issues: readonly PayloadIssue[]) {
    super(
      'event-invalid',
      `the payload of ${event} does not match its schema: ${describeIssues(issues)}`,
      'Correct the payload, or the schema in its defineEvent().',
    );
    this.name = 'InvalidPayload';
    this.issues = issues;
  }
}

export async function checkPayload<Output>(
  schema: StandardSchema<unknown, Output>,
  value: unknown,
): Promise<PayloadCheck<Output>> {
  const result = await schema['~standard'].validate(value);
  if (result.issues === undefined) return { kind: 'valid', value: result.value };
  return { kind: 'invalid', issues: result.issues.map((issue) => withoutValues(issue, value)) };
}

const TOLD = 5;

export function describeIssues(issues: readonly PayloadIssue[]): string {
  const told = issues
    .slice(0, TOLD)
    .map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
    .join('; ');
  return issues.length > TOLD ? `${told}; and ${issues.length - TOLD} more` : told;
}

/**
 * Some libraries repeat the value in their message (`must be an email (was "ada")`), and payloads must not reach logs. Anything of
 * the payload counts: where one of several alternatives should have matched, the path is not where the value stands.
 */
function withoutValues({ message, path = [] }: SchemaIssue, payload: unknown): PayloadIssue {
  const keys = path.map((segment) => (typeof segment === 'object' ? segment.key : segment));
  return {
    path: pathText(keys),
    message: repeatsAnyOf(payload, message) ? 'is not what the schema asks for' : message,
  };
}

function repeatsAnyOf(value: unknown, message: string): boolean {
  if (typeof value === 'object' && value !== null)
    return Object.values(value).some((each) => repeatsAnyOf(each, message));
  if (value === undefined || value === null || typeof value === 'boolean' || value === '') return false;
  const text = String(value);
  // As a word of its own: 'a' is in every sentence.
  return [...occurrences(message, text)].some((start) => isWord(message, start, text.length));
}

function* occurrences(message: string, text: string): Generator<number> {
  for (let at = message.indexOf(text); at >= 0; at = message.indexOf(text, at + 1)) yield at;
}

const WORD = /[\p{L}\p{N}_]/u;

function isWord(message: string, start: number, length: number): boolean {
  return !WORD.test(message[start - 1] ?? ' ') && !WORD.test(message[start + length] ?? ' ');
}

function pathText(keys: readonly PropertyKey[]): string {
  return keys
    .map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i === 0 ? '' : '.'}${String(key)}`))
    .join('');
}
