import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { startHttpServer } from '../../src/daemon/http-server.ts';
import { freePort, startPostgres } from '../../src/embedded/index.ts';
import { type CliResult, type Env, runCli } from '../support/cli.ts';
import { createMigratedDatabase, createScratchDatabase, natsUrl, scratchName } from '../support/services.ts';

const QUICK_MS = 10_000;

/** What every failure has in common: its code, one message, one hint, soon, no stack and no secret. */
function expectFailure(
  { code, stdout, stderr, tookMs }: CliResult,
  expected: [code: number, message: string],
): void {
  expect(stderr).toContain(expected[1]);
  expect(code).toBe(expected[0]);
  expect(stderr).toMatch(/^error: /);
  expect(stderr).toMatch(/^hint: /m);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(stdout + stderr).not.toContain('hunter2');
  expect(tookMs).toBeLessThan(QUICK_MS);
}

/** A stream and subjects of this test alone, removed at the end. */
async function scratchStream() {
  const name = scratchName('cli');
  const env: Env = {
    POSTCOMMIT_STREAM: name,
    POSTCOMMIT_SUBJECTS: `${name}.>`,
    POSTCOMMIT_HTTP: '127.0.0.1:0',
  };
  const connection = await connect({ servers: natsUrl() });
  const manager = await jetstreamManager(connection);
  return {
    name,
    env,
    manager,
    async [Symbol.asyncDispose]() {
      await manager.streams.delete(name).catch(() => false);
      await connection.close();
    },
  };
}

test('no database, no NATS', async () => {
  expectFailure(await runCli(['migrate']), [3, 'DATABASE_URL is not set']);
  const nothing = await runCli(['relay']);
  expectFailure(nothing, [3, 'NATS_URL is not set']);
  expect(nothing.stderr).toContain('DATABASE_URL is not set');
  expectFailure(await runCli(['relay'], { DATABASE_URL: 'postgres://u:hunter2@127.0.0.1:1/x' }), [
    3,
    'NATS_URL',
  ]);
});

test.each([
  ['not-a-url', 3, 'does not begin with postgres://'],
  ['mysql://u:hunter2@localhost/x', 3, 'does not begin with postgres://'],
  ['postgres://u:hunter2@localhost:port/x', 3, 'is no readable URL'],
  ['postgres://u:hunter2@127.0.0.1:1/x', 4, 'cannot connect to PostgreSQL at 127.0.0.1:1'],
  ['postgres://u:hunter2@nowhere.invalid/x', 4, 'cannot connect to PostgreSQL at nowhere.invalid'],
  ['postgres://u:hunter2@192.0.2.1/x', 4, 'cannot connect to PostgreSQL at 192.0.2.1'],
])('the database URL %s', async (url, code, message) => {
  expectFailure(await runCli(['migrate'], { DATABASE_URL: url }), [code, message]);
  expectFailure(await runCli(['relay'], { DATABASE_URL: url, NATS_URL: natsUrl() }), [code, message]);
});

test('a database or a password that is wrong', async () => {
  await using server = await startPostgres();
  const url = new URL(server.url);
  url.pathname = '/nowhere';
  expectFailure(await runCli(['migrate'], { DATABASE_URL: url.href }), [
    4,
    'database "nowhere" does not exist',
  ]);
  url.username = 'nobody';
  url.password = 'hunter2';
  expectFailure(await runCli(['migrate'], { DATABASE_URL: url.href }), [4, 'role "nobody" does not exist']);
});

test.each([
  ['http://127.0.0.1:4222', 3, 'NATS_URL is unusable'],
  ['nats://u:hunter2@127.0.0.1:1', 4, '127.0.0.1:1'],
  ['nats://hunter2@nowhere.invalid', 4, 'nowhere.invalid'],
])('the NATS URL %s', async (url, code, message) => {
  const database = await createMigratedDatabase();
  try {
    const env = { DATABASE_URL: database.url, NATS_URL: url, POSTCOMMIT_HTTP: '127.0.0.1:0' };
    expectFailure(await runCli(['relay'], env), [code, message]);
  } finally {
    await database.drop();
  }
});

test('a missing migration is named', async () => {
  const database = await createScratchDatabase();
  await using stream = await scratchStream();
  try {
    const env = { ...stream.env, DATABASE_URL: database.url, NATS_URL: natsUrl() };
    const result = await runCli(['relay'], env);
    expectFailure(result, [5, '0000_postcommit']);
    expect(result.stderr).toContain('postcommit migrate');
  } finally {
    await database.drop();
  }
});

test('a stream with other subjects is refused', async () => {
  const database = await createMigratedDatabase();
  await using stream = await scratchStream();
  try {
    await stream.manager.streams.add({ name: stream.name, subjects: [`${stream.name}.other`] });
    const env = { ...stream.env, DATABASE_URL: database.url, NATS_URL: natsUrl() };
    expectFailure(await runCli(['relay'], env), [5, stream.name]);
  } finally {
    await database.drop();
  }
});

test('a hot standby is refused', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'postcommit-standby-'));
  try {
    await using server = await startPostgres({ dataDir });
    expect((await runCli(['migrate'], { DATABASE_URL: server.url })).code).toBe(0);
    await server.stop();
    await writeFile(join(dataDir, 'standby.signal'), '');
    await server.start();
    const env = { DATABASE_URL: server.url, NATS_URL: natsUrl(), POSTCOMMIT_HTTP: '127.0.0.1:0' };
    expectFailure(await runCli(['migrate'], env), [5, 'hot standby']);
    expectFailure(await runCli(['relay'], env), [5, 'standby']);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});

test('a port in use is a configuration error', async () => {
  const port = await freePort();
  const other = await startHttpServer({ host: '127.0.0.1', port }, {});
  const database = await createMigratedDatabase();
  await using stream = await scratchStream();
  try {
    const env = { ...stream.env, DATABASE_URL: database.url, NATS_URL: natsUrl() };
    const result = await runCli(['relay'], { ...env, POSTCOMMIT_HTTP: `127.0.0.1:${port}` });
    expectFailure(result, [3, `cannot serve HTTP on 127.0.0.1:${port}`]);
  } finally {
    await other.close();
    await database.drop();
  }
});

test('LOG_LEVEL=debug shows causes, still without secrets', async () => {
  const env = { DATABASE_URL: 'postgres://u:hunter2@127.0.0.1:1/x', LOG_LEVEL: 'debug' };
  const { stderr } = await runCli(['migrate'], env);
  expect(stderr).toMatch(/^\s+at /m);
  expect(stderr).toContain('Error: connect ECONNREFUSED');
  expect(stderr).not.toContain('hunter2');
});
