import { expect, test } from 'vitest';
import { replayDetail } from '../../src/relay/operator/details.ts';

test.each([
  ['2026-01-01T00:00:00.123900+02:00', '2025-12-31T22:00:00.123900Z'],
  ['2026-01-01T00:00:00Z', '2026-01-01T00:00:00.0Z'],
  ['2026-01-01T00:00:00.5-23:30', '2026-01-01T23:30:00.5Z'],
])('a moment keeps its microseconds and loses its offset: %s', (text, utc) => {
  expect(replayDetail.parse({ since: text }).since).toBe(utc);
});

test.each([
  {},
  { stream: 's' },
  { subjectPrefix: 'again', rate: 5, counted: 3 },
  { toSequence: 5 },
  { key: 'a', subjectPrefix: 'again.' },
  { key: 'a', subjectPrefix: 'again.*' },
  { key: 'a', subjectPrefix: '$KV' },
  { key: 'a', subjectPrefix: 'x'.repeat(256) },
  { key: 'a', rate: 0.5 },
  { keys: [] },
  { since: '0000-06-01T00:00:00Z' },
  { until: '0001-01-01T00:00:00+01:00' },
])('what would replay everything, or makes no sense, is refused: %j', (detail) => {
  expect(replayDetail.safeParse(detail).success).toBe(false);
});
