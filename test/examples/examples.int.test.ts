import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createScratchDatabase, startNats } from '../support/services.ts';
import { OUTCOMES } from './outcomes.ts';

const ROOT = join(import.meta.dirname, '..', '..');

async function run(name: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const database = await createScratchDatabase();
  onTestFinished(() => database.drop());
  await using nats = await startNats();
  const child = spawn(process.execPath, [join(ROOT, 'examples', 'run.ts'), name], {
    env: { ...process.env, DATABASE_URL: database.url, NATS_URL: nats.url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk;
  });
  const [code] = await once(child, 'close');
  return { code, ...output };
}

test('every example has its outcome here', () => {
  const names = readdirSync(join(ROOT, 'examples')).filter((name) => /^\d\d-/.test(name));
  expect(names).toEqual(Object.keys(OUTCOMES));
});

test.each(Object.entries(OUTCOMES))('%s', async (name, outcome) => {
  const { code, stdout, stderr } = await run(name);
  expect({ code, lines: stdout.trimEnd().split('\n') }, stderr).toEqual({ code: 0, lines: outcome });
});

test('without a name it says which there are', async () => {
  const { code, stderr } = await run('nothing-like-it');
  expect([code, stderr]).toEqual([2, expect.stringContaining('01-publish-subscribe')]);
});
