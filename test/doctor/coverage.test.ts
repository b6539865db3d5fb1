import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CHECKS } from '../../src/doctor/index.ts';

test('a fault is planted for every check', () => {
  const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.int.test.ts'));
  const sources = files.map((name) => readFileSync(join(import.meta.dirname, name), 'utf8')).join('\n');
  const planted = new Set(
    [...sources.matchAll(/(?:check: |await say\()'([a-z-]+)'/g)].map(([, name]) => name),
  );
  // A release of PostgreSQL that is wrong is not to be had; server-defects.test.ts tells which they are.
  planted.add('postgres-version');
  expect(CHECKS.map(({ name }) => name).filter((name) => !planted.has(name))).toEqual([]);
});
