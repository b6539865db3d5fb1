import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isJson } from '../../src/jetstream/json-text.ts';

test('whatever JSON.stringify() writes is JSON', () => {
  fc.assert(fc.property(fc.json(), (text) => isJson(Buffer.from(text))));
});

test.each([' {"a": 1}\r\n', 'null', 'true', '-1.5e3', '"ü"', '[]'])('%s is', (text) => {
  expect(isJson(Buffer.from(text))).toBe(true);
});

test.each([
  ['nothing', ''],
  ['text', 'hello'],
  ['text that begins like JSON', 'no'],
  ['text in braces', '{hello}'],
  ['two of them', '{}{}'],
  ['one cut short', '{"a": 1'],
  ['one behind a byte order mark', '\ufeff{}'],
])('%s is none', (_what, text) => {
  expect(isJson(Buffer.from(text))).toBe(false);
});

test('bytes that are no UTF-8 are none, and neither is a view that begins elsewhere judged by its buffer', () => {
  expect(isJson(new Uint8Array([0x22, 0xff, 0x22]))).toBe(false);
  expect(isJson(Buffer.from('x{}x').subarray(1, 3))).toBe(true);
});

test('what is very large is not looked through', () => {
  const text = (length: number) => Buffer.from(`"${'x'.repeat(length - 2)}"`);
  expect(isJson(text(1_000_000))).toBe(true);
  expect(isJson(text(1_000_001))).toBe(false);
  expect(isJson(Buffer.from('['.repeat(1_000_000)))).toBe(false);
});
