import { expect, test } from 'vitest';
import { bytesText, counted, durationFlag, durationText, shareText } from '../src/quantities.ts';

test.each([
  [0, '0 ms'],
  [349.6, '350 ms'],
  [1_000, '1 s'],
  [1_540, '1.5 s'],
  [59_998, '1 min'],
  [90_000, '1.5 min'],
  [720_000, '12 min'],
  [3 * 86_400_000, '3 d'],
])('%d ms are %s', (ms, text) => {
  expect(durationText(ms)).toBe(text);
});

test.each([
  [500, '500ms'],
  [30_000, '30s'],
  [86_400_000, '24h'],
])('nats takes %d ms as %s', (ms, text) => {
  expect(durationFlag(ms)).toBe(text);
});

test.each([
  [0, '0 bytes'],
  [1_023, '1023 bytes'],
  [1_536, '1.5 KiB'],
  [12 * 1_048_576, '12 MiB'],
])('%d bytes are %s', (bytes, text) => {
  expect(bytesText(bytes)).toBe(text);
});

test('a share is never rounded up, and one is no plural', () => {
  expect(shareText(0.999)).toBe('99 %');
  expect([counted(1, 'stream'), counted(2_000, 'stream')]).toEqual(['1 stream', '2,000 streams']);
});
