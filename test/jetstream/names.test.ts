import { expect, test } from 'vitest';
import { isJetStreamName } from '../../src/jetstream/index.ts';

test.each(['a', '渡辺', '$a', 'x'.repeat(255), 'é'.repeat(127)])('%s is a name', (text) => {
  expect(isJetStreamName(text)).toBe(true);
});

test.each([
  '',
  'a b',
  'a.b',
  'a*',
  'a>',
  'a/b',
  'a\\b',
  'a\u00a0b',
  'a\u0007',
  'a\u0085',
  'a\ud800',
  'x'.repeat(256),
  'é'.repeat(128),
])('%j is none', (text) => {
  expect(isJetStreamName(text)).toBe(false);
});
