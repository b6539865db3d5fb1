import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EmbeddedNats, EmbeddedPostgres } from '../../src/embedded/index.ts';
import { createCheckout } from '../docs/checkout.ts';
import { ROOT, samplesOf } from '../docs/pages.ts';
import { query } from '../support/query.ts';
import { startNats, startPostgres } from '../support/services.ts';
import { createEmptyProject, type EmptyProject, likeHere, pack } from './empty-project.ts';

// What npm would publish, looked at and used as by somebody who has nothing of this repository.

const BIN = join(ROOT, 'node_modules', '.bin');

interface Manifest {
  readonly name: string;
  readonly license: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

let tarball: string;
let project: EmptyProject;
let manifest: Manifest;
const resources = new AsyncDisposableStack();
beforeAll(async () => {
  const checkout = resources.use(await createCheckout());
  tarball = await pack(checkout.path);
  project = resources.use(await createEmptyProject());
  await project.install(tarball);
  manifest = JSON.parse(await readFile(inPackage('package.json'), 'utf8'));
});
afterAll(() => resources.disposeAsync());

function inPackage(file: string): string {
  return join(project.path, 'node_modules', 'postcommit', file);
}

const specifiers = () =>
  Object.keys(manifest.exports)
    .filter((name) => name !== './package.json')
    .map((name) => name.replace('.', 'postcommit'));

test('publint has nothing to say', async () => {
  const { buffer, byteOffset, byteLength } = await readFile(tarball);
  const packed = { tarball: buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer };
  const { messages, pkg } = await publint({ pkgDir: 'package', pack: packed, strict: true });
  expect(pkg?.name).toBe('postcommit');
  expect(messages.map((message) => formatMessage(message, pkg ?? {}, { color: false }))).toEqual([]);
});

test('attw finds the types of every export, for ES modules and bundlers', async () => {
  const attw = ['--profile', 'esm-only', '--format', 'json', tarball];
  const { stdout } = await promisify(execFile)(join(BIN, 'attw'), attw, { maxBuffer: 64 * 1024 * 1024 });
  const { analysis } = JSON.parse(stdout) as {
    analysis: { entrypoints: Record<string, { resolutions: Record<string, { resolution?: unknown }> }> };
  };
  expect(Object.keys(analysis.entrypoints).sort()).toEqual(Object.keys(manifest.exports).sort());
  for (const [name, { resolutions }] of Object.entries(analysis.entrypoints))
    for (const kind of ['node16-esm', 'bundler'])
      expect(resolutions[kind]?.resolution, `${name} for ${kind}`).toBeDefined();
});

test('it holds what it says, a licence, a page to read, and nothing else', async () => {
  const { stdout } = await promisify(execFile)('tar', ['-tzf', tarball]);
  const files = stdout
    .trim()
    .split('\n')
    .map((name) => name.replace('package/', ''));
  const folders = new Set(files.map((name) => name.split('/')[0]));
  expect([...folders].sort()).toEqual(
    ['LICENSE', 'README.md', 'dist', 'migrations', 'package.json', 'src'].sort(),
  );
  const named = Object.values(manifest.exports)
    .flatMap((target) => (typeof target === 'string' ? [target] : Object.values(target)))
    .concat(Object.values(manifest.bin));
  expect(named.map((name) => name.replace('./', '')).filter((name) => !files.includes(name))).toEqual([]);
  // A source map that leads nowhere is of no use in a stack trace.
  const maps = files.filter((name) => name.endsWith('.map'));
  expect(maps.length).toBeGreaterThan(100);
  for (const map of maps.slice(0, 10)) {
    const { sources } = JSON.parse(await readFile(inPackage(map), 'utf8')) as { sources: string[] };
    expect(sources.every((source) => existsSync(join(inPackage(map), '..', source)))).toBe(true);
  }
  expect(manifest.license).toBe('MIT');
});

test('each export is imported where nothing else is installed; the schema alone needs drizzle-orm', async () => {
  await project.write('imports.mjs', IMPORTS);
  await using running = project.start(`node imports.mjs ${specifiers().join(' ')}`);
  expect(await running.exit, running.output).toBe(0);
  const outcomes = specifiers().map((name) =>
    name === 'postcommit/schema' ? `${name} ERR_MODULE_NOT_FOUND drizzle-orm` : `${name} fine`,
  );
  expect(running.output.trim().split('\n')).toEqual(outcomes);
});

const IMPORTS = `
for (const name of process.argv.slice(2)) {
  try {
    const found = Object.keys(await import(name)).length;
    console.log(name, found > 0 ? 'fine' : 'empty');
  } catch ({ code, message }) {
    console.log(name, code, /package '([^']+)'/.exec(message)?.[1] ?? message);
  }
}
`;

test('the command tells its version and help', async () => {
  await using running = project.start(
    'node_modules/.bin/postcommit --version && node_modules/.bin/postcommit relay --help',
  );
  expect(await running.exit, running.output).toBe(0);
  expect(running.output).toMatch(/^\d+\.\d+\.\d+\n[\s\S]*--database-url/);
});

describe('with what its README uses', () => {
  let postgres: EmbeddedPostgres;
  let nats: EmbeddedNats;
  beforeAll(async () => {
    const packages = await Promise.all(['drizzle-orm', 'pg', '@types/pg', '@types/node'].map(likeHere));
    await project.install(...packages);
    postgres = resources.use(await startPostgres());
    nats = resources.use(await startNats());
  });

  test.each(['nodenext', 'bundler'])(
    'every export has types that a strict compiler takes (%s)',
    async (resolution) => {
      const imports = specifiers().map(
        (name, i) => `import * as export${i} from '${name}';\nvoid export${i};\n`,
      );
      await project.write('user.ts', imports.join('') + TYPED);
      expect(await compile({ resolution, skipLibCheck: true })).toBe('');
      // Other packages' declarations may have faults that everybody skips; ours have none.
      const all = await compile({ resolution, skipLibCheck: false });
      expect(all.split('\n').filter((line) => /^(user\.ts|node_modules\/postcommit\/)/.test(line))).toEqual(
        [],
      );
    },
  );

  test('types are there: a wrong use is refused', async () => {
    await project.write('user.ts', `${TYPED}\nconsume({ stream: 1 }, () => undefined);\n`);
    const output = await compile({ resolution: 'nodenext', skipLibCheck: true });
    expect(output).toContain("Type 'number' is not assignable to type 'string'");
  });

  async function compile(options: { resolution: string; skipLibCheck: boolean }): Promise<string> {
    const { resolution, skipLibCheck } = options;
    const compilerOptions = {
      module: resolution === 'bundler' ? 'esnext' : resolution,
      moduleResolution: resolution,
      target: 'es2023',
      lib: ['es2023', 'esnext.disposable'],
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck,
      noEmit: true,
    };
    await project.write('tsconfig.json', JSON.stringify({ compilerOptions, files: ['user.ts'] }));
    await using compiler = project.start(`${join(BIN, 'tsc')} --pretty false -p tsconfig.json`);
    await compiler.exit;
    return compiler.output;
  }

  test('the samples of the README run, from the migration to the consumer', async () => {
    const samples = samplesOf('README.md');
    const writer = samples.find(({ language, marks }) => language === 'ts' && marks.has('run'));
    const consumer = samples.find(({ marks }) => marks.has('file'));
    await project.write('writer.ts', writer?.text ?? '');
    await project.write('consumer.mjs', consumer?.text ?? '');
    const env = { DATABASE_URL: postgres.url, NATS_URL: nats.url, POSTCOMMIT_HTTP: '127.0.0.1:0' };
    await using migration = project.start('npx --no-install postcommit migrate', env);
    expect(await migration.exit, migration.output).toBe(0);
    await query(postgres.url, 'CREATE TABLE patients (id text PRIMARY KEY, name text NOT NULL)');
    await using relay = project.start('exec node_modules/.bin/postcommit relay', env);
    await relay.prints('"event":"ready"');
    await using consuming = project.start('exec node consumer.mjs', env);
    await using _writing = project.start('node writer.ts', env);
    await consuming.prints(
      "received events.patient.registered { id: 'p1', name: 'Ada' } the 1. in the inbox",
    );
    await using audit = project.start('node_modules/.bin/postcommit audit', env);
    expect(await audit.exit, audit.output).toBe(0);
  });
});

/** A use of each kind of thing that is exported. */
const TYPED = `
import { enqueue, PostcommitError, type OutboxEvent } from 'postcommit';
import { consume, type Consumer, Reject } from 'postcommit/consumer';
import { openBus } from 'postcommit/nats';
import { createRelay, type RelayStatus } from 'postcommit/relay';
import { outbox } from 'postcommit/schema';
import { startNats, type EmbeddedNats } from 'postcommit/embedded';
import { assertEnqueued, createFakeClock, enqueuedIn, startTcpProxy, startTestServices, waitForEffect } from 'postcommit/testing';
import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';

const event: OutboxEvent = { subject: 'events.a', payload: { a: 1 }, headers: { b: 'c' } };
const pool = new pg.Pool();
const client = await pool.connect();
const id: string = await enqueue(client, event);
const ids: string[] = await drizzle(pool).transaction((tx) => enqueue(tx, [event]));
const rows: { subject: string; payload: Uint8Array }[] = await drizzle(pool).select().from(outbox);
const consumer: Consumer = await consume({ nats: () => ({ servers: ['a'] }), stream: 's', durable: 'd', db: pool }, async (received, { tx }) => {
  await tx.query('SELECT $1::text', [received.id]);
  throw new Reject('never');
});
const relay = createRelay({ databaseUrl: () => '', nats: () => ({ servers: [] }), lanes: [{ stream: 's', subjects: ['a'] }] });
const status: RelayStatus = relay.status();
const bus = await openBus({ nats: 'nats://127.0.0.1' });
const nats: EmbeddedNats = await startNats();
const services = await startTestServices({ prepare: (url) => void url });
const { databaseUrl, toNats } = await services.scratch({ faults: true });
await assertEnqueued(client, [{ subject: 'events.a', payload: { a: 1 } }]);
await drizzle(pool).transaction((tx) => enqueuedIn(tx));
await waitForEffect(pool, { consumer: 'd', eventId: id, outbox: drizzle(pool) });
const retried = await consume({ nats: '', stream: 's', durable: 'd', db: pool, clock: createFakeClock() }, () => undefined);
void [id, ids, rows, consumer, status, bus, nats, startTcpProxy, PostcommitError, databaseUrl, toNats, retried];
`;
