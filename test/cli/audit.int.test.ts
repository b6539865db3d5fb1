import { Writable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { runCli } from '../../src/cli/program.ts';
import { runInProcess } from '../support/fake-terminal.ts';
import { openRingRig, type RingRig } from '../support/ring-rig.ts';

let rig: RingRig;
beforeAll(async () => {
  rig = await openRingRig();
});
afterAll(() => rig?.[Symbol.asyncDispose]());
beforeEach(() => rig.reset());

/** The command in this process, as an operator runs it. */
async function audit(args: readonly string[] = [], url = rig.operatorUrl) {
  const output = { stdout: '', stderr: '' };
  const into = (name: keyof typeof output) =>
    new Writable({
      write(chunk, _, done) {
        output[name] += chunk;
        done();
      },
    });
  const code = await runCli(['audit', ...args], {
    env: { DATABASE_URL: url },
    stdout: into('stdout'),
    stderr: into('stderr'),
  });
  return { code, ...output };
}

const requests = async () =>
  (await rig.admin.query('select kind, detail, requested_by from postcommit.requests')).rows;

test('an outbox in order: 0, and nobody is asked for anything', async () => {
  await rig.insert(5);
  await rig.plan({ positions: [1, 2], parked: [3] });
  const { code, stdout, stderr } = await audit();
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toContain('5 events in the outbox');
  expect(stdout).toMatch(/^ +2 {2}planned$/m);
  expect(stdout).toMatch(/^ +1 {2}set aside as dead letters$/m);
  expect(stdout).toMatch(/^ +2 {2}waiting to be read$/m);
  expect(stdout).toContain('stream a: settled to nothing, 2 planned and not known to be settled');
  expect(stdout).toContain('Nothing was passed over.');
  expect(await requests()).toEqual([]);
});

test('without a log everything waits', async () => {
  await rig.insert(3);
  const { code, stdout } = await audit(['--json']);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    rows: 3,
    waiting: 3,
    unclear: 0,
    uncovered: { count: 0 },
    relay: null,
  });
});

test('what no plan holds is named, without its content, and the relay is asked; none answers: 1', async () => {
  await rig.insert(6);
  await rig.plan({ positions: [1, 2, 4, 6] });
  const dry = await audit(['--dry-run']);
  expect(dry.code).toBe(1);
  expect(dry.stdout).toMatch(/^ {2}position 3, segment 0, inserted 20\S+Z, subject a\.b$/m);
  expect(dry.stdout).toContain('Without --dry-run, the relay is asked');
  expect(await requests()).toEqual([]);
  const asked = await audit(['--wait', '10ms']);
  expect(asked.code).toBe(1);
  expect(asked.stdout).toContain('No relay has answered request');
  expect(await requests()).toEqual([
    {
      kind: 'audit',
      detail: { positions: [3, 5], events: 2 },
      requested_by: new URL(rig.operatorUrl).username,
    },
  ]);
});

test('what the relay answers is told', async () => {
  await rig.insert(2);
  await rig.plan({ positions: [2] });
  const answering = rig.admin.query(`create function answer() returns trigger language plpgsql as $$
    begin new.finished_at := clock_timestamp(); new.result := '{"found": 1}'; return new; end $$;
    create trigger answer before insert on postcommit.requests for each row execute function answer()`);
  await answering;
  try {
    const { code, stdout } = await audit();
    expect(code).toBe(1);
    expect(stdout).toContain('The relay has taken up 1 events that no plan held');
  } finally {
    await rig.admin.query('drop function answer() cascade');
  }
});

test('positions planned twice are named with the rows that did it, in whatever streams', async () => {
  await rig.insert(4);
  await rig.plan({ stream: 'a', positions: [1, 2, 3] });
  await rig.plan({ stream: 'a', kind: 'again', positions: [1] });
  await rig.plan({ stream: 'b', positions: [2, 4] });
  await rig.plan({ stream: 'b', positions: [4] });
  const { code, stdout } = await audit(['--json']);
  expect(code).toBe(1);
  expect(JSON.parse(stdout).plannedTwice).toEqual({
    count: 2,
    first: [
      {
        position: 2,
        rows: [
          { stream: 'a', batch: 1 },
          { stream: 'b', batch: 1 },
        ],
      },
      {
        position: 4,
        rows: [
          { stream: 'b', batch: 1 },
          { stream: 'b', batch: 2 },
        ],
      },
    ],
  });
});

test('a position that was handed out again is told from one that was planned twice', async () => {
  await rig.insert(2);
  await rig.plan({ positions: [1, 2] });
  await rig.admin.query(
    `truncate only postcommit.outbox_0; update postcommit.batches set planned_at = planned_at - interval '1 minute'`,
  );
  await rig.insert(1, { segment: 1, positions: [2] });
  const { stdout } = await audit(['--json', '--dry-run']);
  expect(JSON.parse(stdout)).toMatchObject({
    planned: 0,
    reused: { count: 1, first: [{ position: 2, segment: 1 }] },
    plannedTwice: { count: 0 },
  });
  await rig.plan({ positions: [2] });
  const after = await audit(['--json', '--dry-run']);
  expect(JSON.parse(after.stdout)).toMatchObject({
    planned: 1,
    reused: { count: 0 },
    plannedTwice: { count: 0, first: [] },
  });
  expect(after.code).toBe(0);
});

test('a terminal shows how far it is, and takes the bar away; --json and --quiet show none', async () => {
  await rig.insert(5);
  await rig.insert(5, { segment: 7 });
  await rig.plan({ positions: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] });
  /** What it writes while it waits for the last leaf. */
  async function heldUp(...args: string[]) {
    const holder = await rig.connect();
    await holder.query('begin; lock table postcommit.outbox_7 in access exclusive mode');
    const auditing = runInProcess(['audit', ...args], {
      env: { DATABASE_URL: rig.operatorUrl, NO_COLOR: '1' },
      terminal: { columns: 100 },
    });
    await expect.poll(waitsLong, { timeout: 10_000 }).toBe(1);
    await holder.query('rollback');
    await holder.end();
    return auditing;
  }
  const waitsLong = async () =>
    (
      await rig.admin.query(
        `select count(*)::int from pg_stat_activity where application_name = 'postcommit audit'
          and wait_event_type = 'Lock' and clock_timestamp() - query_start > interval '600 ms'`,
      )
    ).rows[0].count;
  const { code, stdout, stderr } = await heldUp();
  expect([code, stdout]).toEqual([0, expect.stringContaining('10 events in the outbox')]);
  expect(stderr).toContain('\r\u001b[Kreading the outbox  [');
  expect(stderr).toMatch(/reading the outbox {2}\[#+-*\] {2}\d+ % {2}\d+ rows/);
  expect(stderr.endsWith('\r\u001b[K')).toBe(true);
  for (const flag of ['--json', '--quiet']) expect((await heldUp(flag)).stderr).toBe('');
});

test('a role that may only read is told what it lacks, and may look all the same', async () => {
  await rig.insert(1);
  await rig.plan({ readTo: 5 });
  const { code, stderr } = await audit(['--wait', '10ms'], rig.relayUrl);
  expect(code).toBe(5);
  expect(stderr).toContain('hint: Grant it what docs/roles-and-privileges.md lists for an operator');
  expect((await audit(['--dry-run'], rig.relayUrl)).code).toBe(1);
});
