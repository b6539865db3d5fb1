import fc from 'fast-check';

/** Every blank that JavaScript's trim() takes off, some that only look like one, and other troublemakers. */
const TROUBLE = [
  ' ',
  '\t',
  '\n',
  '\r',
  '\r\n',
  '\u0000',
  '\u0001',
  '\u000b',
  '\u000c',
  '\u001b[31m',
  '\u007f',
  '\u0085',
  '\u00a0',
  '\u1680',
  '\u180e',
  '\u2003',
  '\u200b',
  '\u200d',
  '\u2028',
  '\u2029',
  '\u202e',
  '\u202f',
  '\u205f',
  '\u3000',
  '\ufeff',
  '\ufffd',
  '\uffff',
  '\ud800',
  '\udc00',
  '\u{1f3e5}',
  '\u{10ffff}',
  'e\u0301',
  'ß',
  'İ',
  '"',
  "'",
  '\\',
  '$1',
  '%',
  '{',
  '}',
  ':',
  ',',
  ';',
  '.',
  '..',
  '*',
  '>',
  '$',
  '\r\nNats-Rollup: all',
  '\r\n\r\nMSG x 1 1\r\n',
  "'); drop table postcommit.outbox; --",
  '__proto__',
  'constructor',
  'toJSON',
  'null',
] as const;

const codeUnits = fc.string({ unit: fc.integer({ max: 0xffff }).map((code) => String.fromCharCode(code)) });

/** Nothing that a person would write: any character, lone surrogates and controls among them. */
export const hostileText: fc.Arbitrary<string> = fc.oneof(
  fc.array(fc.constantFrom(...TROUBLE), { minLength: 1, maxLength: 3 }).map((parts) => parts.join('')),
  fc.tuple(fc.string(), fc.constantFrom(...TROUBLE), fc.string()).map((parts) => parts.join('')),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  codeUnits,
);

/** Words such as people write, in several scripts. */
export const plainText: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9 _./:=+-]{0,40}[A-Za-z0-9]$/) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('Zoë Müller', 'Дарья', '渡辺', 'مريم', 'नमस्ते', '🏥 ward 7', 'naïve café'),
  },
);

/** Repeated up to about so many bytes. */
export function longText(bytes: fc.Arbitrary<number>): fc.Arbitrary<string> {
  return fc
    .tuple(fc.constantFrom('x', 'é', '渡', '🏥', 'ab "c" \\'), bytes)
    .map(([unit, size]) => unit.repeat(Math.max(1, Math.ceil(size / Buffer.byteLength(unit)))).trim());
}

/** What neither UTF-8 nor PostgreSQL's text can hold: no driver can hand it over unchanged. */
export function isText(value: string): boolean {
  return value.isWellFormed() && !value.includes('\u0000');
}
