import { expect, test } from 'vitest';
import { compareVersions, defectsOf, postgresDefectOf } from '../../src/doctor/server-defects.ts';

const PLAIN = { replicated: false, limited: false, shared: false };

test.each([
  ['2.9.10', PLAIN, ['security']],
  ['2.9.10', { ...PLAIN, limited: true }, ['security', 'max_bytes']],
  ['2.9.16', { ...PLAIN, replicated: true }, ['security', 'expected sequence']],
  ['2.9.25', { ...PLAIN, replicated: true }, ['security']],
  ['2.10.27', PLAIN, ['security']],
  ['2.10.27', { ...PLAIN, replicated: true }, ['security', 'duplicates']],
  ['2.11.14', { ...PLAIN, replicated: true }, ['security']],
  ['2.11.15', { ...PLAIN, replicated: true }, []],
  ['2.12.5', PLAIN, ['security']],
  ['2.12.6', PLAIN, []],
  ['2.15.1', { ...PLAIN, replicated: true }, []],
  ['2.15.1', { ...PLAIN, replicated: true, shared: true }, ['Nats-Expected-Last-Msg-Id']],
  ['2.15.1-RC.2', PLAIN, []],
])('of nats-server %s in %j it is known: %j', (version, circumstances, words) => {
  const defects = defectsOf(version, circumstances);
  expect(defects).toHaveLength(words.length);
  for (const [i, word] of words.entries()) expect(defects[i]?.found).toContain(word);
  for (const { fix } of defects) expect(fix).toMatch(/[Uu]pgrade nats-server/);
});

test('versions are compared by their numbers', () => {
  expect(compareVersions('2.9.10', '2.10.0')).toBeLessThan(0);
  expect(compareVersions('v2.10.0', '2.10.0-beta.1')).toBe(0);
  expect(compareVersions('2.10.27', '2.10.3')).toBeGreaterThan(0);
});

test.each([
  [180_001, 'Upgrade to 18.2 or newer.'],
  [170_007, 'Upgrade to 17.8 or newer.'],
  [150_015, 'Upgrade to 15.16 or newer.'],
])('PostgreSQL %i loses notifications: %s', (version, fix) => {
  expect(postgresDefectOf(version)).toMatchObject({
    found: expect.stringContaining('LISTEN and NOTIFY'),
    fix,
  });
});

test.each([180_002, 180_004, 160_012, 190_000])('PostgreSQL %i does not', (version) => {
  expect(postgresDefectOf(version)).toBeUndefined();
});
