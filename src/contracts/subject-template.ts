import { PostcommitError } from '../errors.ts';

/** The names in braces: `'id'` of `'ng.patient.{id}'`. */
export type ParametersOf<Template extends string> = Template extends `${string}{${infer Name}}${infer Rest}`
  ? Name | ParametersOf<Rest>
  : never;

/** A value of the payload that may become a token of a subject. */
export type TokenValue = string | number | bigint | boolean;

/** A subject with parameters, each a token of its own: `{country}.patient.{id}`, as AsyncAPI writes addresses of channels. */
export interface SubjectTemplate {
  readonly text: string;
  readonly parameters: readonly string[];
  /** What to subscribe to: each parameter is `*`. */
  readonly pattern: string;
  /** @throws PostcommitError `event-invalid` for a value that can be no token. */
  build(valueFor: (parameter: string) => unknown): string;
  /** What the parameters are in a subject; undefined if it was not built by this template. */
  match(subject: string): Readonly<Record<string, string>> | undefined;
}

const PARAMETER = /^\{([A-Za-z_][A-Za-z0-9_-]*)\}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses.
const LITERAL = /^[^\u0000-\u0020\u007f*>{}$%]+$/;

/** @throws PostcommitError `config-invalid` */
export function parseSubjectTemplate(text: string): SubjectTemplate {
  const tokens = text.split('.').map((token) => parseToken(token, text));
  const parameters = tokens.flatMap((token) => (token.kind === 'parameter' ? [token.name] : []));
  const twice = parameters.find((name, i) => parameters.indexOf(name) !== i);
  if (twice !== undefined) throw invalid(text, `it has the parameter '${twice}' twice`);
  return {
    text,
    parameters,
    pattern: tokens.map((token) => (token.kind === 'parameter' ? '*' : token.text)).join('.'),
    build: (valueFor) =>
      tokens
        .map((token) =>
          token.kind === 'literal'
            ? token.text
            : encodeToken(valueFor(token.name), { text, name: token.name }),
        )
        .join('.'),
    match(subject) {
      const found = subject.split('.');
      if (found.length !== tokens.length) return undefined;
      const values: Record<string, string> = {};
      for (const [i, token] of tokens.entries()) {
        const value = decodeToken(found[i] ?? '');
        if (value === undefined || (token.kind === 'literal' && found[i] !== token.text)) return undefined;
        if (token.kind === 'parameter') values[token.name] = value;
      }
      return values;
    },
  };
}

type Token =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'parameter'; readonly name: string };

function parseToken(token: string, template: string): Token {
  const name = PARAMETER.exec(token)?.[1];
  if (name !== undefined) return { kind: 'parameter', name };
  if (LITERAL.test(token)) return { kind: 'literal', text: token };
  throw invalid(
    template,
    token === ''
      ? 'one of its tokens is empty'
      : `its token '${token}' is neither plain text nor one parameter in braces`,
  );
}

function invalid(template: string, what: string): PostcommitError {
  return new PostcommitError(
    'config-invalid',
    `the subject '${template}' of an event cannot be used: ${what}`,
    'Write tokens separated by dots, each plain text or a parameter: ng.patient.{id}. Wildcards, blanks, $ and % are not for events.',
  );
}

const ENCODED = /[^A-Za-z0-9_-]/g;

/**
 * The value as one token, in ASCII: whatever is not a letter, a digit, `_` or `-` is percent-encoded as in URIs, so that no dot,
 * wildcard or blank in an id changes where its event goes, and every language can decode it.
 */
function encodeToken(value: unknown, { text, name }: { text: string; name: string }): string {
  if (!isTokenValue(value) || value === '') throw unfit(text, name, value);
  try {
    return String(value).replace(ENCODED, percentEncode);
  } catch {
    throw unfit(text, name, value); // A lone surrogate is no character.
  }
}

/** `encodeURIComponent` leaves some of them as they are. */
function percentEncode(character: string, at: number, whole: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x80) return `%${code.toString(16).toUpperCase().padStart(2, '0')}`;
  const isLow = code >= 0xdc00 && code <= 0xdfff;
  const before = whole.charCodeAt(at - 1);
  if (isLow && before >= 0xd800 && before <= 0xdbff) return ''; // Written with its high half.
  return encodeURIComponent(String.fromCodePoint(whole.codePointAt(at) ?? code));
}

function decodeToken(token: string): string | undefined {
  try {
    return token === '' ? undefined : decodeURIComponent(token);
  } catch {
    return undefined;
  }
}

function isTokenValue(value: unknown): value is TokenValue {
  return ['string', 'number', 'bigint', 'boolean'].includes(typeof value);
}

function unfit(text: string, name: string, value: unknown): PostcommitError {
  const what =
    value === ''
      ? 'an empty string'
      : typeof value === 'string'
        ? 'text with half a character'
        : `${value === null ? 'null' : typeof value}`;
  return new PostcommitError(
    'event-invalid',
    `the subject '${text}' cannot be built: '${name}' is ${what}`,
    'A parameter of a subject is a text that is not empty, a number or a boolean.',
  );
}
