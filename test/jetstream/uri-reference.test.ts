import fc from 'fast-check';
import { expect, test } from 'vitest';
import { asUriReference } from '../../src/jetstream/uri-reference.ts';

test.each([
  'shop@7412345678901234567',
  'my%20shop@7',
  'https://example.com/shop?a=b/?#c',
  'https://user:pass@example.com:8080',
  'https://[2001:db8::1]:443/x',
  '//example.com/x',
  'urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66',
  'mailto:cncf-wg-serverless@lists.cncf.io',
  '/cloudevents/spec/pull/123',
  '1-555-123-4567',
  'shop:eu',
  'a//b',
  '/a:b',
  '?q',
])('%s is a URI reference, and stays as it is', (text) => {
  expect(asUriReference(text)).toBe(text);
});

test.each([
  ['7:eu', '7%3Aeu'],
  ['100%', '100%25'],
  ['a%2', 'a%252'],
  ['"shop"', '%22shop%22'],
  ['a b', 'a%20b'],
  ['Zürich', 'Z%C3%BCrich'],
  ['http://[x]/', 'http%3A%2F%2F%5Bx%5D%2F'],
  ['a#b#c', 'a%23b%23c'],
  ['a\\b', 'a%5Cb'],
  ['\ud800', '%EF%BF%BD'],
])('%s is none, and becomes %s', (text, reference) => {
  expect(asUriReference(text)).toBe(reference);
});

test('whatever it is given, what comes out is a URI reference', () => {
  const pieces = fc.constantFrom(':', '/', '?', '#', '[', ']', '@', '%', '%41', 'a', '7', '.', '"', 'ü');
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(pieces).map((parts) => parts.join('')),
      ),
      (text) => {
        const reference = asUriReference(text);
        expect(reference).toMatch(/^[!#-;=?-[\]_a-z~]*$/);
        expect(asUriReference(reference)).toBe(reference);
      },
    ),
    { numRuns: 2_000 },
  );
});
