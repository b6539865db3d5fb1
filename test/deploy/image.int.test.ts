import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { validate } from 'dockerfile-utils';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../../src/embedded/index.ts';
import { query } from '../support/query.ts';
import { createScratchDatabase, natsUrl, type ScratchDatabase, scratchName } from '../support/services.ts';
import { openBuildContext } from './build-context.ts';
import { deleteStream } from './delete-stream.ts';
import { type PlayedImage, playDockerfile } from './play-dockerfile.ts';

const ROOT = join(import.meta.dirname, '..', '..');

let image: PlayedImage;
let database: ScratchDatabase;

beforeAll(async () => {
  [image, database] = await Promise.all([playDockerfile(ROOT), createScratchDatabase()]);
});
afterAll(async () => {
  await image?.[Symbol.asyncDispose]();
  await database?.drop();
});

test('a linter finds nothing wrong with the Dockerfile', () => {
  expect(validate(readFileSync(join(ROOT, 'Dockerfile'), 'utf8'))).toEqual([]);
});

test('the image holds the program and the packages it needs, and nothing else', () => {
  expect(readdirSync(join(image.root, 'app')).sort()).toEqual([
    'LICENSE',
    'dist',
    'healthcheck.mjs',
    'migrations',
    'node_modules',
    'package.json',
  ]);
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const packages = readdirSync(join(image.root, 'app', 'node_modules'), { recursive: true }).map(String);
  expect(packages).toEqual(expect.arrayContaining(Object.keys(dependencies)));
  expect(Object.keys(devDependencies).filter((name) => packages.includes(name))).toEqual([]);
});

test('neither secrets nor what was built here is sent to an engine', () => {
  const context = openBuildContext(ROOT);
  const never = [
    'node_modules/pg',
    'dist/cli/main.js',
    '.git/config',
    '.env',
    'deploy/compose/secrets/database-url',
  ];
  expect(never.filter((path) => context.includes(path))).toEqual([]);
});

test('it runs as a numbered user that is not root, and is stopped by what the relay handles', () => {
  expect(image.user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  expect(image.stopSignal).toBe('SIGTERM');
  expect(image.labels).toMatchObject({
    'org.opencontainers.image.title': 'postcommit',
    'org.opencontainers.image.licenses': 'MIT',
    'org.opencontainers.image.version': 'dev',
  });
});

test('where nothing may be written, writing is refused', async () => {
  const script = "require('node:fs').writeFileSync('/tmp/postcommit-may-not', '')";
  const { code, output } = await end(start(['node', '-e', script]));
  expect(output).toContain('ERR_ACCESS_DENIED');
  expect(code).not.toBe(0);
});

test('with nothing to write to it prints its help, migrates, relays, is asked how it is, and stops', async () => {
  const stream = scratchName('image');
  const env = {
    DATABASE_URL: database.url,
    NATS_URL: natsUrl(),
    POSTCOMMIT_STREAM: stream,
    POSTCOMMIT_SUBJECTS: `${stream}.>`,
    // The image's 0.0.0.0 is for a network of its own.
    POSTCOMMIT_HTTP: `127.0.0.1:${await freePort()}`,
  };
  const help = await end(start([...image.entrypoint, '--help']));
  expect(help).toMatchObject({ code: 0, output: expect.stringContaining('Usage: postcommit') });
  expect(await end(start([...image.entrypoint, 'migrate'], env))).toMatchObject({ code: 0 });

  expect(await end(start(image.healthCheck, env))).toMatchObject({ code: 1 });
  const relay = start([...image.entrypoint, ...image.command], env);
  const ended = end(relay);
  try {
    await prints(relay, '"event":"ready"');
    const healthy = { code: 0, output: expect.stringContaining('"role":"leader"') };
    expect(await end(start(image.healthCheck, env))).toMatchObject(healthy);
    // What the compiler does not make has to come along as well.
    expect(await (await fetch(`http://${env.POSTCOMMIT_HTTP}/`)).text()).toContain('<!doctype html>');
    await query(database.url, `SELECT postcommit.enqueue('${stream}.a', '{}')`);
    const stored = 'SELECT max(last_sequence)::int FROM postcommit.batches';
    await expect.poll(() => query(database.url, stored)).toEqual([[1]]);
  } finally {
    relay.kill(image.stopSignal as NodeJS.Signals);
    await deleteStream(stream);
  }
  expect(await ended).toMatchObject({ code: 0, output: expect.stringContaining('"event":"stopped"') });
});

test('a health check of a relay that serves no HTTP says what to do', async () => {
  const check = await end(start(image.healthCheck, { POSTCOMMIT_HTTP: 'off' }));
  expect(check).toMatchObject({ code: 1, output: expect.stringContaining('disable this check') });
});

/**
 * As the image's user, and by Node's permission model without the right to write any file, start a process or load native
 * code. Stricter than a read-only root, which still has /dev/shm.
 */
function start(command: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  const [program, ...args] = command.map((part) => part.replace(/^\/app\//, `${join(image.root, 'app')}/`));
  expect(program).toBe('node');
  const [uid, gid] = image.user.split(':').map(Number);
  return spawn(join(image.root, 'usr/local/bin/node'), ['--permission', '--allow-fs-read=*', ...args], {
    cwd: join(image.root, 'app'),
    env: { ...image.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(process.getuid?.() === 0 ? { uid, gid } : {}),
  });
}

function outputOf(child: ChildProcess): { text: string } {
  const output = { text: '' };
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk) => {
      output.text += chunk;
    });
  return output;
}

async function end(child: ChildProcess): Promise<{ code: number | null; output: string }> {
  const output = outputOf(child);
  const [code] = await once(child, 'close');
  return { code, output: output.text };
}

async function prints(child: ChildProcess, text: string): Promise<void> {
  const output = outputOf(child);
  await expect.poll(() => output.text, { timeout: 30_000 }).toContain(text);
}
