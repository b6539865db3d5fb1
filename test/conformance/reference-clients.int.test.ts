import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/embedded/index.ts';
import { query } from '../support/query.ts';
import { natsUrl } from '../support/services.ts';
import { CONSUMER_RULES } from './consumer/index.ts';
import { startTrialPostgres, tryClient } from './trial.ts';
import { WRITER_RULES } from './writer/index.ts';

let postgres: EmbeddedPostgres;
beforeAll(async () => {
  postgres = await startTrialPostgres();
});
afterAll(() => postgres?.[Symbol.asyncDispose]());

const ownClient = (name: string) => new URL(`own/${name}`, import.meta.url).pathname;
const driver = (name: string) => new URL(`drivers/${name}`, import.meta.url).pathname;

async function expectAllKept(suite: 'writer' | 'consumer', command: readonly string[]): Promise<void> {
  const verdicts = await tryClient({ suite, databaseUrl: postgres.url }, command);
  const rules = suite === 'writer' ? WRITER_RULES : CONSUMER_RULES;
  expect([...verdicts.keys()]).toEqual(rules.map(({ id }) => id));
  expect(new Map([...verdicts].filter(([, { kind }]) => kind !== 'passed'))).toEqual(new Map());
}

test('a writer on pg keeps every rule', () =>
  expectAllKept('writer', [process.execPath, driver('writer.ts')]));

// Tools, and no servers: nobody needs them for anything else here.
const hasTools = ['python3', 'psql'].every((tool) => spawnSync(tool, ['--version']).status === 0);
test.skipIf(!hasTools)('a writer in Python, on psql, keeps every rule', () =>
  expectAllKept('writer', ['python3', driver('writer.py')]),
);

test('a consumer on pg and @nats-io keeps every rule', () =>
  expectAllKept('consumer', [process.execPath, driver('consumer.ts')]));

test('so does enqueue()', () => expectAllKept('writer', [process.execPath, ownClient('enqueue.ts')]));

test('and consume(), which prunes by itself', async () => {
  const verdicts = await tryClient({ suite: 'consumer', databaseUrl: postgres.url }, [
    process.execPath,
    ownClient('consume.ts'),
  ]);
  const others = [...verdicts].filter(([, { kind }]) => kind !== 'passed');
  expect(others).toEqual([
    ['P-C11', { kind: 'not applicable', reason: 'the client does not support {"do": "prune"}' }],
  ]);
});

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function conformance(...args: string[]): Promise<Ended> {
  return conformanceOn(inject('databaseUrl'), ...args);
}

async function conformanceOn(databaseUrl: string, ...args: string[]): Promise<Ended> {
  const main = new URL('main.ts', import.meta.url).pathname;
  const env = { ...process.env, DATABASE_URL: databaseUrl, NATS_URL: natsUrl() };
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (text) => {
    output.stdout += text;
  });
  child.stderr.on('data', (text) => {
    output.stderr += text;
  });
  const [code] = await once(child, 'close');
  return { code, ...output };
}

test('prints a line for each rule, and exits with 0 where none is broken', async () => {
  const { code, stdout, stderr } = await conformance('--only', 'P-W1,P-M1', 'node', driver('writer.ts'));
  expect({ code, stderr }).toEqual({ code: 0, stderr: '1 passed, 0 failed, 1 not applicable\n' });
  expect(stdout.split('\n')).toEqual([
    'passed          P-W1   the change and its event are one transaction: committed, both are there',
    'not applicable  P-M1   markers are passed over and acknowledged – the client does not support {"do": "consume"}',
    '',
  ]);
});

test('says what was expected and seen, in JSON too, and exits with 1', async () => {
  const faulty = driver('faulty/ignores-event-ids.ts');
  const { code, stdout } = await conformance('--json', '--only', 'P-W7', '--writer', 'node', faulty);
  expect(code).toBe(1);
  const uuid = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/;
  expect(JSON.parse(stdout)).toEqual([
    {
      rule: 'P-W7',
      about: 'the id is the one that was chosen, or the one that is answered',
      verdict: {
        kind: 'failed',
        expected: expect.stringMatching(uuid),
        seen: expect.stringMatching(uuid),
      },
    },
  ]);
});

test('a driver that does not speak the protocol, or is not there, keeps no rule', async () => {
  for (const command of [['echo', 'hello'], ['/no/such/driver'], ['false']]) {
    const { code, stdout } = await conformance('--only', 'P-W1', '--writer', ...command);
    expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringMatching(/^failed {10}P-W1 /) });
  }
});

test('servers that are not there are no verdict', async () => {
  const { code, stdout, stderr } = await conformanceOn('postgres://user:hidden@127.0.0.1:1/shop', 'true');
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^error: .*ECONNREFUSED/);
  expect(stderr).not.toContain('hidden');
});

test('neither is wrong usage', async () => {
  expect((await conformance('--only', 'P-X1', 'true')).code).toBe(2);
  expect((await conformance('--writer')).code).toBe(2);
});

test('interrupted, it takes its database, its stream and the client away', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'postcommit-conformance-'));
  const pidFile = join(scratch.path, 'pid');
  // It never answers, and does not care for its standard input.
  const client = ['sh', '-c', 'echo $$ > "$0"; exec sleep 600', pidFile];
  const main = new URL('main.ts', import.meta.url).pathname;
  const env = { ...process.env, DATABASE_URL: postgres.url, NATS_URL: natsUrl() };
  const child = spawn(process.execPath, [main, '--writer', ...client], { env, stdio: 'ignore' });
  const closed = once(child, 'close');
  const pid = () => Number(readFileSync(pidFile, { encoding: 'utf8', flag: 'a+' }));
  await expect.poll(pid, { timeout: 20_000 }).toBeGreaterThan(0);
  const [name = ''] = await databases();
  expect(await streams()).toContain(name);
  child.kill('SIGINT');
  expect(await closed).toEqual([130, null]);
  expect(() => process.kill(pid(), 0)).toThrow('ESRCH');
  expect(await databases()).not.toContain(name);
  expect(await streams()).not.toContain(name);
});

async function databases(): Promise<string[]> {
  const text =
    "SELECT datname FROM pg_database WHERE datname LIKE 'postcommit_conformance%' ORDER BY oid DESC";
  return (await query(postgres.url, text)).map(([name]) => String(name));
}

async function streams(): Promise<string[]> {
  const connection = await connect({ servers: natsUrl() });
  const manager = await jetstreamManager(connection);
  const names: string[] = [];
  for await (const name of manager.streams.names()) names.push(name);
  await connection.close();
  return names;
}
