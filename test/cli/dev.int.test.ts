import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCli, startCli } from '../support/cli.ts';
import { query } from '../support/query.ts';

test('dev gives a migrated database and NATS, keeps the data where asked, and stops both', async () => {
  const data = await mkdtemp(join(tmpdir(), 'postcommit-dev-'));
  // As root, PostgreSQL runs as another user, who has to pass through this folder.
  await chmod(data, 0o755);
  try {
    await using dev = startCli(['dev', '--json', '--data', data]);
    const ready = await dev.line('ready');
    const env = { DATABASE_URL: String(ready.DATABASE_URL), NATS_URL: String(ready.NATS_URL) };
    expect((await runCli(['migrate', '--json'], env)).stdout).toContain('"upToDate":true');
    await query(env.DATABASE_URL, `select postcommit.enqueue('events.kept', '{}')`);
    dev.process.kill('SIGINT');
    expect(await dev.exit).toBe(0);
    await expect(query(env.DATABASE_URL, 'select 1')).rejects.toThrow();

    await using again = startCli(['dev', '--json', '--data', data, '--relay'], {
      POSTCOMMIT_HTTP: '127.0.0.1:0',
      // Of another server: not for the relay beside ours.
      NATS_TOKEN: 'other',
    });
    const url = String((await again.line('ready')).DATABASE_URL);
    await expect
      .poll(() => query(url, 'select count(*)::int from postcommit.batches'), { timeout: 20_000 })
      .not.toEqual([[0]]);
    again.process.kill('SIGTERM');
    expect(await again.exit).toBe(0);
    expect(existsSync(join(data, 'postgres'))).toBe(true);
  } finally {
    await rm(data, { recursive: true, force: true });
  }
});
