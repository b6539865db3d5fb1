import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '../../src/cli/program.ts';
import { CHECKS } from '../../src/doctor/index.ts';
import { openStage, type Stage } from '../guarantees/stage.ts';
import { runCli as spawnCli } from '../support/cli.ts';
import { query } from '../support/query.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
  await query(
    stage.databaseUrl,
    `update postcommit.lease set epoch = 1, holder = 'somebody:1', expires_at = clock_timestamp() + interval '5 minutes'`,
  );
});
afterAll(() => stage?.[Symbol.asyncDispose]());

interface Terminal {
  readonly isTTY?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

/** The command in this process. */
async function doctor(args: readonly string[], { isTTY = false, env = {} }: Terminal = {}) {
  const output = { stdout: '', stderr: '' };
  const into = (name: keyof typeof output) =>
    Object.assign(
      new Writable({
        write(chunk, _, done) {
          output[name] += chunk;
          done();
        },
      }),
      { isTTY },
    );
  const code = await runCli(['doctor', ...args], {
    env: {
      DATABASE_URL: stage.databaseUrl,
      NATS_URL: stage.natsUrl,
      POSTCOMMIT_STREAM: stage.stream,
      POSTCOMMIT_SUBJECTS: `${stage.stream}.>`,
      ...env,
    },
    stdout: into('stdout'),
    stderr: into('stderr'),
  });
  return { code, ...output };
}

/** Those that say the same on every server that tests run on. */
const SOUND = ['postgres-primary', 'migrations', 'privileges', 'relay-leader', 'stream', 'stream-subjects'];

test('one line for each check that is well, a summary for the person, and 0', async () => {
  const { code, stdout, stderr } = await doctor(SOUND);
  expect(code).toBe(0);
  expect(stdout.trimEnd().split('\n')).toHaveLength(SOUND.length);
  expect(stdout).toMatch(/^ok {6}relay-leader {6}somebody:1 leads, epoch 1; /m);
  expect(stderr).toMatch(/^6 checks in \d\.\d+ s: everything is as it should be\n$/);
});

test('--quiet says nothing of what is well', async () => {
  expect(await doctor([...SOUND, '--quiet'])).toMatchObject({ code: 0, stdout: '' });
});

test('a problem comes with its cause and its fix below it, and 1', async () => {
  const { code, stdout, stderr } = await doctor(['stream-subjects', 'stream', '--subjects', 'orders.>']);
  expect(code).toBe(1);
  expect(stdout).toMatch(/^ok {6}stream {11}there, /m);
  expect(stdout).toMatch(
    /^problem stream-subjects {2}stream '.*' captures '.*', not 'orders\.>'\n {10}cause {2}What is .*\n {10}fix {4}add to it with nats stream edit .*\n/m,
  );
  expect(stderr).toContain('1 problem\n');
});

test('a warning is no failure, unless it is to be one', async () => {
  const args = ['stream-retention', '--retention', '1m'];
  expect(await doctor(args)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^warning stream-retention/),
  });
  expect((await doctor([...args, '--strict'])).code).toBe(1);
});

test('--json gives every finding with its parts, and counts them', async () => {
  const { code, stdout } = await doctor(['stream', 'stream-retention', '--retention', '1m', '--json']);
  const report = JSON.parse(stdout);
  expect([code, report.ok, report.counts]).toEqual([0, true, { ok: 1, unseen: 0, warning: 1, problem: 0 }]);
  expect(report.findings).toEqual([
    {
      check: 'stream',
      severity: 'ok',
      stream: stage.stream,
      found: expect.any(String),
      cause: null,
      fix: null,
    },
    {
      check: 'stream-retention',
      severity: 'warning',
      stream: stage.stream,
      found: expect.stringContaining('POSTCOMMIT_RETENTION'),
      cause: expect.stringContaining('NATS flushes'),
      fix: 'POSTCOMMIT_RETENTION=24h',
    },
  ]);
  const quiet = JSON.parse((await doctor(['stream', '--json', '--quiet'])).stdout);
  expect([quiet.counts.ok, quiet.findings]).toEqual([1, []]);
});

test('several lanes are looked at one by one, and told apart', async () => {
  const lanes = [
    { stream: stage.stream, subjects: [`${stage.stream}.>`] },
    { stream: 'another', subjects: ['another.>'], ordering: 'key' },
  ];
  const env = { POSTCOMMIT_LANES: JSON.stringify(lanes), POSTCOMMIT_STREAM: '', POSTCOMMIT_SUBJECTS: '' };
  const { stdout } = await doctor(['stream'], { env: { ...env, POSTCOMMIT_PROVISION: 'false' } });
  expect(stdout).toContain(`ok      stream  ${stage.stream}: there, `);
  expect(stdout).toContain("problem stream  another: stream 'another' does not exist");
});

test('colours are for a terminal, and for nobody who has said NO_COLOR', async () => {
  const { stdout } = await doctor(['stream'], { isTTY: true });
  expect(stdout).toContain('\u001b[32mok     \u001b[0m');
  for (const terminal of [{ isTTY: false }, { isTTY: true, env: { NO_COLOR: '1' } }])
    expect((await doctor(['stream'], terminal)).stdout).not.toContain('\u001b');
});

test('a check that there is none of is wrong usage', async () => {
  const { code, stderr } = await doctor(['stream-subject']);
  expect(code).toBe(2);
  expect(stderr).toContain('There is no such check. Did you mean stream-subjects?');
});

test('settings that make no sense are 3, as for the relay', async () => {
  const { code, stdout, stderr } = await doctor([], { env: { POSTCOMMIT_RETENTION: 'soon' } });
  expect([code, stdout]).toEqual([3, '']);
  expect(stderr).toContain('POSTCOMMIT_RETENTION');
});

test('one server that does not answer is a finding; both are 4', async () => {
  const nobody = 'postgres://app:hunter2@127.0.0.1:1/db';
  expect((await doctor([], { env: { DATABASE_URL: nobody } })).code).toBe(1);
  const { code, stdout } = await doctor([], {
    env: { DATABASE_URL: nobody, NATS_URL: 'nats://127.0.0.1:1' },
  });
  expect(code).toBe(4);
  expect(stdout.match(/^problem /gm)).toHaveLength(2);
  expect(stdout.match(/^unseen /gm)).toHaveLength(CHECKS.length - 2);
});

test('the help lists every check and what it looks at', async () => {
  const { code, stdout } = await doctor(['--help']);
  expect(code).toBe(0);
  for (const { name, about } of CHECKS) expect(stdout).toContain(`${name.padEnd(24)} ${about}`);
});

test('no secret is in what it says, whatever fails', async () => {
  const secrets = ['canary-postgres', 'canary-nats', 'canary-token', 'canary-user-password'];
  const file = join(process.env.TMPDIR ?? '/tmp', `${stage.stream}.txt`);
  await writeFile(file, 'canary-user-password');
  const withPassword = stage.databaseUrl.replace('postgres@', 'postgres:canary-postgres@');
  const wrong = 'postgres://app:canary-postgres@127.0.0.1:1/db?password=canary-postgres';
  const nats = stage.natsUrl.replace('nats://', 'nats://user:canary-nats@');
  for (const env of [
    { DATABASE_URL: withPassword, NATS_URL: nats },
    {
      DATABASE_URL: wrong,
      NATS_URL: 'nats://user:canary-nats@127.0.0.1:1,nats://user:canary-nats@127.0.0.1:2',
    },
    { DATABASE_URL: `${withPassword}x`, NATS_URL: stage.natsUrl, NATS_TOKEN: 'canary-token' },
    { DATABASE_URL: wrong, NATS_URL: 'nats://127.0.0.1:1', NATS_USER: 'user', NATS_PASSWORD_FILE: file },
  ])
    for (const args of [[], ['--json']]) {
      const { stdout, stderr } = await spawnCli(['doctor', ...args], { ...env, LOG_LEVEL: 'debug' });
      expect(stdout).toContain('postgres-connection');
      for (const secret of secrets) expect(stdout + stderr).not.toContain(secret);
    }
});
