import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { run } from '../../src/embedded/process.ts';

const MAIN = new URL('./main.ts', import.meta.url).pathname;

// One broker, `stream` ordering, a lost tail among the faults. `npm run chaos` has the rest.
test('a short run of the whole system under chaos holds every guarantee, and leaves a timeline', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-chaos-report-'));
  try {
    const stdout = await run(process.execPath, [
      MAIN,
      ...['--seed', '4', '--scenes', 'system', '--seconds', '10', '--out', folder, '--json'],
    ]);
    const [play] = JSON.parse(stdout);
    expect(play.violations).toEqual([]);
    expect(play.facts.committed).toBeGreaterThan(200);
    expect(play.facts.effects).toBeGreaterThan(200);
    const page = await readFile(join(folder, 'report.html'), 'utf8');
    for (const who of ['relay 1', 'relay 2', 'faults', 'consumer 1'])
      expect(page).toContain(`>${who}</text>`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
