import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ensureNatsServer, findPostgres, startNats, startPostgres } from '../../src/embedded/index.ts';
import { run } from '../../src/embedded/process.ts';
import { query } from '../support/query.ts';

// These are promises of the embedded servers alone, whatever backend the other tests use.

const PROGRAM = join(import.meta.dirname, 'two-servers.ts');
const isRoot = process.getuid?.() === 0;
const NOBODY = 65_534;
const nobodyReachesUs =
  isRoot &&
  (await run('cat', [PROGRAM], { identity: { name: 'nobody', uid: NOBODY, gid: NOBODY } }).then(
    () => true,
    () => false,
  ));

interface Report {
  readonly pids: readonly number[];
  readonly folders: readonly string[];
  readonly databaseUrl: string;
}

let temporary: string;
beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'postcommit-test-'));
  await chmod(temporary, 0o777);
});
afterEach(() => rm(temporary, { recursive: true }));

/** Starts both servers in a process of its own. */
async function startProgram(options: { uid?: number; gid?: number } = {}): Promise<[ChildProcess, Report]> {
  const env = { ...process.env, TMPDIR: temporary, NODE_OPTIONS: '' };
  const program = spawn(process.execPath, [PROGRAM], {
    ...options,
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = await once(createInterface({ input: program.stdout as NodeJS.ReadableStream }), 'line');
  return [program, JSON.parse(line as string)];
}

async function isAlive(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return status !== '' && !/^State:\s+Z/m.test(status);
}

async function expectNothingLeft({ pids, folders }: Report): Promise<void> {
  await expect.poll(() => Promise.all(pids.map(isAlive)), { timeout: 20_000 }).toEqual([false, false]);
  await expect.poll(() => folders.filter((folder) => existsSync(folder)), { timeout: 20_000 }).toEqual([]);
}

test('disposing stops the servers and removes their temporary data', async () => {
  const [program, report] = await startProgram();
  expect(await Promise.all(report.pids.map(isAlive))).toEqual([true, true]);
  program.stdin?.end('dispose\n');
  await once(program, 'exit');
  expect(report.folders.filter((folder) => existsSync(folder))).toEqual([]);
  expect(await Promise.all(report.pids.map(isAlive))).toEqual([false, false]);
});

test.for([['SIGKILL'], ['SIGTERM'], ['SIGINT']] as const)(
  'nothing is left of a process that dies by %s with servers running',
  async ([signal]) => {
    const [program, report] = await startProgram();
    program.kill(signal);
    await once(program, 'exit');
    await expectNothingLeft(report);
  },
);

test('nothing is left of a process that exits with servers running', async () => {
  const [program, report] = await startProgram();
  program.stdin?.end('exit\n');
  await once(program, 'exit');
  await expectNothingLeft(report);
});

test.runIf(nobodyReachesUs)('an ordinary user can start the servers', async () => {
  const [program, report] = await startProgram({ uid: NOBODY, gid: NOBODY });
  expect(await query(report.databaseUrl, 'SELECT 1')).toEqual([[1]]);
  program.stdin?.end('dispose\n');
  await once(program, 'exit');
  await expectNothingLeft(report);
});

test.runIf(isRoot)('root can start PostgreSQL from a folder that only root may enter', async () => {
  const { binDir } = await findPostgres();
  await chmod(temporary, 0o700);
  const copy = join(temporary, 'postgres');
  await cp(dirname(binDir), copy, { recursive: true, verbatimSymlinks: true });
  await using postgres = await startPostgres({ binDir: join(copy, 'bin') });
  expect(await query(postgres.url, 'SELECT 1')).toEqual([[1]]);
});

test('a server that cannot be found is an error that names what was tried', async () => {
  await expect(findPostgres({ binDir: temporary })).rejects.toThrow(`${temporary}: `);
  await expect(ensureNatsServer({ binary: '/nowhere/nats-server' })).rejects.toThrow('/nowhere/nats-server');
  await expect(startNats({ binary: '/nowhere/nats-server' })).rejects.toMatchObject({
    code: 'service-failed',
    hint: expect.stringContaining('NATS_SERVER_BIN'),
  });
});
