import { type AnyEvent, RULES } from './define-event.ts';
import type { OutputOf, StandardSchema } from './standard-schema.ts';
import type { ParametersOf } from './subject-template.ts';
import { isVersionHeader } from './typed-event.ts';
import { checkPayload, type PayloadIssue } from './validate.ts';

/** A message, as far as it says which event it is. */
export interface Readable {
  readonly subject: string;
  readonly type: string | null;
  readonly headers: Readonly<Record<string, string>>;
  json(): unknown;
}

/** The payload of an event, as its schema gives it. */
export type DataOf<Definition> = Definition extends { readonly schema: infer Schema extends StandardSchema }
  ? OutputOf<Schema>
  : unknown;

/** The parameters of its subject, decoded. */
export type ParametersIn<Definition> = Definition extends { readonly subject: infer Subject extends string }
  ? Readonly<Record<ParametersOf<Subject>, string>>
  : never;

export type Reading<Definition> =
  | {
      readonly kind: 'read';
      readonly data: DataOf<Definition>;
      readonly parameters: Partial<ParametersIn<Definition>>;
    }
  | { readonly kind: 'invalid'; readonly issues: readonly PayloadIssue[] };

/** Whether the message is this event, in this version. */
export function isEvent({ type, version }: AnyEvent, message: Pick<Readable, 'type' | 'headers'>): boolean {
  return message.type === type && versionOf(message.headers) === version;
}

/** 1 where none is said; NaN where it is no number. */
export function versionOf(headers: Readonly<Record<string, string>>): number {
  const name = Object.keys(headers).find(isVersionHeader);
  const text = name === undefined ? '1' : (headers[name] ?? '');
  return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : Number.NaN;
}

/** What the message holds, if it is as its definition says. */
export async function readEvent<Definition extends AnyEvent>(
  definition: Definition,
  message: Readable,
): Promise<Reading<Definition>> {
  let payload: unknown;
  try {
    payload = message.json();
  } catch {
    return { kind: 'invalid', issues: [{ path: '', message: 'the payload is not JSON' }] };
  }
  const check = await checkPayload(definition.schema, payload);
  if (check.kind === 'invalid') return check;
  // A relay may put a prefix before it (a replay), and others publish where they like: nothing depends on the subject.
  const parameters = definition[RULES].template.match(message.subject) ?? {};
  return {
    kind: 'read',
    data: check.value as DataOf<Definition>,
    parameters: parameters as Partial<ParametersIn<Definition>>,
  };
}
