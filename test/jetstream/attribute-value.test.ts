import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeAttribute, encodeAttribute } from '../../src/jetstream/attribute-value.ts';

const anyText = fc.string({
  unit: fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('%', '"', ' ', '\\', '%41')),
});

test('what was encoded is decoded again, whatever it is, and only printable ASCII is on the way', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const header = encodeAttribute(text);
      expect(header).toMatch(/^[!#-~]*$/);
      expect(header).not.toContain('"');
      expect(decodeAttribute(header)).toBe(text);
    }),
    { numRuns: 2_000 },
  );
});

test('each character by itself: encoded are exactly those that the binding names', () => {
  const left = Array.from({ length: 0x11_0000 }, (_, code) => code)
    .filter((code) => code < 0xd800 || code > 0xdfff)
    .filter((code) => encodeAttribute(String.fromCodePoint(code)) === String.fromCodePoint(code));
  const asItIs = Array.from({ length: 0x7e - 0x21 + 1 }, (_, i) => 0x21 + i);
  expect(left).toEqual(asItIs.filter((code) => code !== 0x22 && code !== 0x25));
});

test("the binding's own example", () => {
  const header = 'Euro%20%E2%82%AC%20%F0%9F%98%80';
  expect(encodeAttribute('Euro € 😀')).toBe(header);
  expect(decodeAttribute(header)).toBe('Euro € 😀');
});

test.each([
  ['lower case', '%e2%82%ac', '€'],
  ['what need not be encoded', '%41%2f', 'A/'],
  ['one round only', '%2541', '%41'],
  ['a quoted value', '"Euro € 😀"', 'Euro € 😀'],
  ['escapes in a quoted value', String.raw`"a \"b\" \\ c"`, String.raw`a "b" \ c`],
  ['a quoted value that is encoded, too', '"a%20b"', 'a b'],
  ['characters that should have been encoded', 'Zürich HB', 'Zürich HB'],
  ['nothing', '', ''],
])('%s is read', (_what, header, text) => {
  expect(decodeAttribute(header)).toBe(text);
});

test.each([
  ['a blank of two bytes', '%C0%A0'],
  ['half a surrogate pair', '%ED%A0%80'],
  ['a character cut short', '%E2%82'],
  ['a percent sign that begins no byte', '100%'],
  ['digits that are none', '%zz'],
  ['a quote that is not closed', '"a'],
  ['something behind a quoted value', '"a" b'],
])('%s is an error', (_what, header) => {
  expect(decodeAttribute(header)).toBeUndefined();
});

test('half a surrogate pair, which is no character, becomes the sign for one that was lost', () => {
  expect(decodeAttribute(encodeAttribute('a\ud800b'))).toBe('a\ufffdb');
});
