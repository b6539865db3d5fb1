import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findNatsServer, NATS_SERVER_CACHE } from '../../src/embedded/find-nats-server.ts';
import { startNats } from '../../src/embedded/index.ts';
import { run } from '../../src/embedded/process.ts';
import { NATS_VERSIONS, natsServerOf } from '../support/nats-server-versions.ts';

test.each(NATS_VERSIONS)('nats-server %s, or what stands in for it, is here and runs', async (version) => {
  const { path, version: actual } = await natsServerOf(version);
  const [major, minor] = version.split('.');
  expect(actual.startsWith(`${major}.`)).toBe(true);
  expect(Number(actual.split('.')[1])).toBeGreaterThanOrEqual(Number(minor));
  await using nats = await startNats({ binary: path });
  expect(nats.version).toBe(actual);
});

test('newer versions fetched for tests do not become the default server', async () => {
  await natsServerOf('2.15.1');
  const script = `import { findNatsServer } from './src/embedded/find-nats-server.ts';
    console.log((await findNatsServer())?.path ?? 'none');`;
  const root = join(import.meta.dirname, '..', '..');
  const path = await run('env', ['PATH=/nowhere', 'NATS_SERVER_BIN=', process.execPath, '-e', script], {
    cwd: root,
  });
  expect(path).not.toContain('nats-server-versions');
  expect((await findNatsServer())?.path).not.toContain(`${NATS_SERVER_CACHE}-versions`);
});
