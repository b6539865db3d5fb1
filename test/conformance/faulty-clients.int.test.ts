import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/embedded/index.ts';
import { FAULTY_CONSUMERS, FAULTY_WRITERS } from './faults.ts';
import { brokenBy, startTrialPostgres } from './trial.ts';

let postgres: EmbeddedPostgres;
beforeAll(async () => {
  postgres = await startTrialPostgres();
});
afterAll(() => postgres?.[Symbol.asyncDispose]());

// They wait for what does not come: side by side that costs the machine little.
const ALONG = { concurrent: true, timeout: 180_000 };

describe('a faulty writer breaks', () => {
  test.for(Object.entries(FAULTY_WRITERS))('%s: %j, and no other rule', ALONG, async ([name, rules]) => {
    const broken = await brokenBy({ suite: 'writer', databaseUrl: postgres.url }, name);
    expect([...broken.keys()], JSON.stringify([...broken], undefined, 2)).toEqual(rules);
  });
});

describe('a faulty consumer breaks', () => {
  test.for(Object.entries(FAULTY_CONSUMERS))('%s: %j, and no other rule', ALONG, async ([name, rules]) => {
    const broken = await brokenBy({ suite: 'consumer', databaseUrl: postgres.url }, name);
    expect([...broken.keys()], JSON.stringify([...broken], undefined, 2)).toEqual(rules);
  });
});

test('every faulty driver is tried', () => {
  const files = readdirSync(new URL('drivers/faulty', import.meta.url)).map((file) =>
    file.replace('.ts', ''),
  );
  expect(files.sort()).toEqual([...Object.keys(FAULTY_WRITERS), ...Object.keys(FAULTY_CONSUMERS)].sort());
});
