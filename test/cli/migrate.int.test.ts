import { afterEach, beforeEach, expect, test } from 'vitest';
import { runCli } from '../support/cli.ts';
import { MIGRATIONS } from '../support/migrations.ts';
import { query } from '../support/query.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/services.ts';

let database: ScratchDatabase;
beforeEach(async () => {
  database = await createScratchDatabase();
});
afterEach(() => database.drop());

test('migrate tells what it did, and what there was to do', async () => {
  const env = { DATABASE_URL: database.url };
  const dry = await runCli(['migrate', '--dry-run'], env);
  expect(dry.code).toBe(0);
  expect(dry.stdout).toMatch(/^BEGIN[\s\S]*COMMIT;\n$/);
  expect(dry.stderr).toContain('nothing was changed');
  expect(await runCli(['migrate'], env)).toMatchObject({
    code: 0,
    stdout: MIGRATIONS.map((name) => `applied ${name}\n`).join(''),
    stderr: '',
  });
  expect(await runCli(['migrate'], env)).toMatchObject({
    code: 0,
    stdout: '',
    stderr: 'up to date: nothing to do\n',
  });
  expect(await runCli(['migrate', '--dry-run'], env)).toMatchObject({ code: 0, stdout: '' });
});

test('migrate --json is one object, warnings go to standard error', async () => {
  const env = { DATABASE_URL: database.url };
  const { stdout, stderr } = await runCli(['migrate', '--json', '--max-payload', '2000000'], env);
  expect(JSON.parse(stdout)).toMatchObject({
    applied: MIGRATIONS,
    maxPayload: { from: 1_000_000, to: 2_000_000 },
    upToDate: false,
    dryRun: false,
  });
  expect(stderr).toMatch(/^warning: .*max_payload/);
  expect(await query(database.url, 'select postcommit.max_payload()')).toEqual([[2_000_000]]);
});

test('migrate --max-payload has bounds', async () => {
  const { code, stderr } = await runCli(['migrate', '--max-payload', '67108865'], {
    DATABASE_URL: database.url,
  });
  expect(code).toBe(3);
  expect(stderr).toContain('67108864');
});
