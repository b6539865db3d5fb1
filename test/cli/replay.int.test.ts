import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import { openStage, type Stage } from '../guarantees/stage.ts';
import { runCli as spawnCli, startCli } from '../support/cli.ts';
import { askLeader, untilLetters } from '../support/dead-letters.ts';
import { runInProcess } from '../support/fake-terminal.ts';
import { isCopy, openReplayStage, PREFIX, requestRow } from '../support/replays.ts';
import { openRingRig, type RingRig } from '../support/ring-rig.ts';
import { startNats } from '../support/services.ts';

let nats: EmbeddedNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

const TERMINAL = { columns: 120 };

function replay({ databaseUrl }: Pick<Stage, 'databaseUrl'>, ...args: string[]) {
  return runInProcess(['replay', ...args], { env: { DATABASE_URL: databaseUrl } });
}

const requestsOf = async ({ pool }: Pick<Stage, 'pool'>) =>
  (await pool.query('select kind, detail from postcommit.requests order by id')).rows;

test('events are published again, and the request says who asked for what and what came of it', async () => {
  await using stage = await openReplayStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay({ lane: stage.lane });
  await stage.write(700, { key: 'a' });
  await stage.write(1, { key: 'b' });
  await stage.untilDrained();
  const own = await replay(stage, '--key', 'b', '--from-position', '2');
  expect(own).toEqual({ code: 0, stdout: '1 event published again\n', stderr: '' });
  const copies = await replay(stage, '--key', 'a', '--key', 'b', '--subject-prefix', PREFIX, '--json');
  expect([copies.code, copies.stderr]).toEqual([0, '']);
  expect(JSON.parse(copies.stdout)).toEqual({
    request: 2,
    events: 701,
    finished: true,
    result: { replayed: 701 },
  });
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(701 + 1 + 701);
  expect((await stage.messages()).filter(isCopy).length).toBe(701);
  expect(await stage.faults()).toEqual([]);
  expect(await requestsOf(stage)).toEqual([
    { kind: 'replay', detail: { keys: ['b'], fromPosition: 2, toPosition: 701, counted: 1 } },
    {
      kind: 'replay',
      detail: { keys: ['a', 'b'], subjectPrefix: PREFIX, toPosition: 701, counted: 701 },
    },
  ]);
});

test('what the relay will not do is an error: exit 1, and nothing on standard output', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay();
  await stage.write(2);
  await stage.untilDrained();
  const refused = await replay(stage, '--all', '--subject-prefix', PREFIX);
  expect([refused.code, refused.stdout]).toEqual([1, '']);
  expect(refused.stderr).toContain(`Not replayed: no lane takes '${PREFIX}.${stage.subject}'`);
  const unknown = await replay(stage, '--stream', 'nowhere', '--since', '1h');
  expect([unknown.code, unknown.stdout]).toEqual([1, '']);
  expect(unknown.stderr).toContain(
    `nothing was ever planned for a stream 'nowhere', but for ${stage.stream}`,
  );
  const long = await replay(stage, '--all', '--subject-prefix', 'x'.repeat(230), '--dry-run');
  expect([long.code, long.stdout]).toEqual([1, '']);
  expect(long.stderr).toContain('and 255 are allowed');
  expect(await stage.lastSequence()).toBe(2);
});

test('what is left out is told, and is a failure', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay();
  await stage.write(1);
  await stage.write(1, { payload: 'x'.repeat(10_000) });
  await stage.untilDrained();
  await stage.jsm.streams.update(stage.stream, { max_msg_size: 5_000 });
  const { code, stdout, stderr } = await replay(stage, '--all');
  expect([code, stdout]).toEqual([1, '1 event published again\n']);
  expect(stderr).toContain('1 were left out: the stream does not take them as they are');
});

test('times are told by the clock of the database, as moments or as how long ago', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay();
  await stage.write(6);
  await stage.untilDrained();
  await stage.pool.query(`
    update postcommit.outbox set created_at = clock_timestamp() - (7 - position) * interval '1 hour';
    update postcommit.outbox set created_at = '2026-01-31T08:00:00.000123Z' where position = 1`);
  const events = async (...args: string[]) =>
    JSON.parse((await replay(stage, '--dry-run', '--json', ...args)).stdout).events;
  expect(await events('--since', '210m')).toBe(3);
  expect(await events('--since', '210m', '--until', '90m')).toBe(2);
  expect(await events('--since', '2026-01-31T08:00:00.000123Z', '--until', '2026-01-31T10:00:01+02:00')).toBe(
    1,
  );
  expect(await events('--since', '2026-01-31T08:00:00.000124Z', '--until', '2026-01-31T10:00:01+02:00')).toBe(
    0,
  );
});

test('without waiting the number of the request is printed, and it can be followed later', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay();
  await stage.write(5);
  await stage.untilDrained();
  expect(await replay(stage, '--all', '--no-wait')).toEqual({ code: 0, stdout: 'request 1\n', stderr: '' });
  const quick = await replay(stage, '--all', '--wait', '0s', '--json');
  expect(JSON.parse(quick.stdout)).toEqual({ request: 2, events: 5, result: null });
  for (const number of ['1', '2'])
    expect(await replay(stage, '--follow', number)).toMatchObject({
      code: 0,
      stdout: '5 events published again\n',
    });
  expect(await replay(stage, '--follow', '3')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('there is no replay with the number 3'),
  });
});

test('without a leader it says that the request stays, and how to end it', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  {
    await using _relay = await stage.startRelay();
    await stage.write(5);
    await stage.untilDrained();
  }
  const { code, stdout, stderr } = await replay(stage, '--all', '--wait', '300ms');
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toContain('No relay has answered request 1 yet. It stays');
  expect(stderr).toContain('postcommit replay --cancel 1 ends it');
  const cancel = await replay(stage, '--cancel', '1', '--wait', '0s');
  expect([cancel.code, cancel.stderr]).toEqual([
    1,
    expect.stringContaining('No relay has answered request 2'),
  ]);
  // Whoever leads next takes it back before it begins.
  await using _relay = await stage.startRelay();
  await expect.poll(async () => (await requestRow(stage.pool, 2)).finished, { timeout: 10_000 }).toBe(true);
  expect(await requestRow(stage.pool, 1)).toEqual({
    finished: true,
    result: { replayed: 0, cancelledBy: 2 },
  });
  expect(await stage.lastSequence()).toBe(5);
});

test('Ctrl-C stops the waiting and not the replay, which can be cancelled', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay();
  await stage.write(400);
  await stage.untilDrained();
  await using command = startCli(['replay', '--all', '--rate', '10', '--json'], {
    DATABASE_URL: stage.databaseUrl,
  });
  await expect
    .poll(async () => (await requestRow(stage.pool, 1))?.result?.replayed, { timeout: 20_000 })
    .toBeGreaterThan(0);
  command.process.kill('SIGINT');
  let stderr = '';
  command.process.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  expect(await command.exit).toBe(130);
  expect(stderr).toContain('Stopped waiting: request 1 goes on.');
  expect(stderr).toContain('postcommit replay --cancel 1 ends it.');
  const before = Number((await requestRow(stage.pool, 1)).result?.replayed);
  await expect
    .poll(async () => (await requestRow(stage.pool, 1)).result?.replayed, { timeout: 10_000 })
    .toBeGreaterThan(before);
  const late = await replay(stage, '--follow', '1', '--wait', '10ms');
  expect(late.code).toBe(1);
  expect(late.stderr).toContain('Request 1 is not finished and goes on.');
  const cancelled = await replay(stage, '--cancel', '1');
  expect([cancelled.code, cancelled.stderr]).toEqual([0, '']);
  expect(cancelled.stdout).toMatch(/^Request 1 is cancelled: \d+ events published again by then\n$/);
  const after = await replay(stage, '--follow', '1', '--json');
  expect(after.code).toBe(1);
  expect(JSON.parse(after.stdout)).toMatchObject({
    request: 1,
    events: 400,
    finished: true,
    result: { cancelledBy: 2 },
  });
  expect(after.stderr).toContain('Request 1 was cancelled by request 2.');
  const again = await replay(stage, '--cancel', '1');
  expect([again.code, again.stdout]).toEqual([1, '']);
  expect(again.stderr).toContain('Not cancelled: request 1 is finished');
});

describe('a replay of many', () => {
  let stage: Stage;
  let relay: AsyncDisposable;
  beforeAll(async () => {
    stage = await openStage({ natsUrl: nats.url });
    relay = await stage.startRelay();
    await stage.write(10_001);
  });
  afterAll(async () => {
    await relay[Symbol.asyncDispose]();
    await stage[Symbol.asyncDispose]();
  });
  const env = () => ({ DATABASE_URL: stage.databaseUrl });
  const many = ['replay', '--all', '--no-wait'];

  test('needs --yes where nobody can be asked', async () => {
    await stage.untilDrained();
    const { code, stdout, stderr } = await spawnCli(many, env());
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('10,001 events are many, and nobody is here to be asked: add --yes');
    expect(await requestsOf(stage)).toEqual([]);
  });

  test.each(['n', '', 'yes please'])(
    'is asked about on a terminal, and not done after "%s"',
    async (answer) => {
      const { code, stdout, stderr } = await runInProcess(many, {
        env: env(),
        terminal: { types: [answer] },
      });
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toContain('Publish 10,001 events again? [y/N] ');
      expect(stderr).toContain('Nothing was asked for.');
      expect(await requestsOf(stage)).toEqual([]);
    },
  );

  test('is not done when the input ends', async () => {
    const { code } = await runInProcess(many, { env: env(), terminal: { types: [] } });
    expect(code).toBe(1);
    expect(await requestsOf(stage)).toEqual([]);
  });

  test('is done after "y", and with --yes', async () => {
    const asked = await runInProcess(many, { env: env(), terminal: { types: ['y'] } });
    expect([asked.code, asked.stdout]).toEqual([0, 'request 1\n']);
    const said = await spawnCli(['replay', '--all', '--yes'], env());
    expect([said.code, said.stdout]).toEqual([0, '10,001 events published again\n']);
    await expect.poll(stage.lastSequence, { timeout: 20_000 }).toBe(30_003);
  });
});

test('a terminal shows a bar while it goes on, and takes it away; --json, --quiet and other places show none', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay();
  await stage.write(30);
  await stage.untilDrained();
  const slow = ['replay', '--all', '--rate', '20'];
  const env = { DATABASE_URL: stage.databaseUrl };
  const shown = await runInProcess(slow, { env: { ...env, NO_COLOR: '1' }, terminal: TERMINAL });
  expect([shown.code, shown.stdout]).toEqual([0, '30 events published again\n']);
  expect(shown.stderr).toMatch(/replaying {2}\[#+-+\] {2}\d+ % {2}\d+ of 30 events/);
  expect(shown.stderr.endsWith('\r\u001b[K')).toBe(true);
  expect(shown.stderr).not.toContain('\u001b[3');
  const coloured = await runInProcess(slow, { env, terminal: TERMINAL });
  expect(coloured.stderr).toContain('\u001b[32m[');
  for (const flag of ['--json', '--quiet'])
    expect((await runInProcess([...slow, flag], { env, terminal: TERMINAL })).stderr).toBe('');
  expect((await runInProcess(slow, { env })).stderr).toBe('');
});

test('a lane that is paused is named while it is waited for', async () => {
  await using stage = await openStage({
    natsUrl: nats.url,
    config: { max_msgs: 5, discard: 'new' as never },
  });
  await using relay = await stage.startRelay();
  await stage.write(5);
  await stage.untilDrained();
  const env = { DATABASE_URL: stage.databaseUrl, NO_COLOR: '1' };
  await stage.write(1);
  await relay.until('paused');
  const { stderr, code } = await runInProcess(['replay', '--all', '--wait', '4s'], {
    env,
    terminal: TERMINAL,
  });
  expect(code).toBe(1);
  expect(stderr).toContain(`0 of 6 events  the lane of stream '${stage.stream}' is paused`);
  await askLeader(stage.pool, 'cancel', { request: 1 });
});

describe('a dry run', () => {
  let rig: RingRig;
  beforeAll(async () => {
    rig = await openRingRig();
  });
  afterAll(() => rig?.[Symbol.asyncDispose]());
  beforeEach(() => rig.reset());

  const dryRun = (args: readonly string[], url = rig.operatorUrl) =>
    runInProcess(['replay', '--dry-run', ...args], { env: { DATABASE_URL: url } });

  test('says how many, from where to where, of which streams, and what is left out; no relay is needed or asked', async () => {
    await rig.insert(8);
    await rig.plan({ stream: 'orders', positions: [1, 2, 4] });
    await rig.plan({ stream: 'bills', positions: [3, 5, 6] });
    await rig.plan({ stream: 'bills', kind: 'replay', positions: [1] });
    await rig.admin.query(
      `insert into postcommit.dead_letters (stream, position, event_id, subject, reason)
       select 'orders', position, event_id, subject, 'refused' from postcommit.outbox where position = 4`,
    );
    const { code, stdout, stderr } = await dryRun(['--all', '--subject-prefix', 'again']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout.split('\n')).toEqual([
      '5 events would be published again',
      expect.stringMatching(/^ {2}from {2}position 1, inserted 20\S+Z$/),
      expect.stringMatching(/^ {2}to {4}position 6, inserted 20\S+Z$/),
      '           2  of stream orders, positions 1 to 2',
      '           3  of stream bills, positions 3 to 6',
      'on again.<subject>; whether a lane takes these, the relay says before it publishes',
      '1 more are dead letters, and left out',
      '2 more were not published yet, and are left out',
      expect.stringMatching(
        /^The outbox begins at position 1, inserted 20\S+Z: what came before is not there any more\.$/,
      ),
      '',
    ]);
    const { rows } = await rig.admin.query('select count(*)::int from postcommit.requests');
    expect(rows[0].count).toBe(0);
    const ofStream = JSON.parse((await dryRun(['--stream', 'bills', '--all', '--json'])).stdout);
    expect(ofStream).toMatchObject({
      dryRun: true,
      events: 3,
      streams: [{ stream: 'bills', from: 3, to: 6 }],
    });
  });

  test('says what is not in the outbox any more', async () => {
    await rig.insert(6);
    await rig.plan({ stream: 'orders', positions: [1, 2, 3, 4, 5, 6] });
    await rig.admin.query('delete from postcommit.outbox where position < 4');
    const { stdout } = await dryRun(['--stream', 'orders', '--from-sequence', '2', '--to-sequence', '5']);
    expect(stdout).toContain('2 events would be published again');
    expect(stdout).toContain('2 more were at these sequences, and the outbox does not hold them any more');
    expect(stdout).toContain('The outbox begins at position 4');
    const json = JSON.parse((await dryRun(['--from-position', '1', '--json'])).stdout);
    expect(json).toMatchObject({ events: 3, outboxFrom: { position: 4 }, gone: null });
  });

  test('of nothing is no error, and nothing is asked for', async () => {
    expect(await dryRun(['--all'])).toMatchObject({
      code: 0,
      stdout: '0 events would be published again\nThe outbox is empty.\n',
    });
    const real = await runInProcess(['replay', '--all'], { env: { DATABASE_URL: rig.operatorUrl } });
    expect(real.code).toBe(0);
    const { rows } = await rig.admin.query('select count(*)::int from postcommit.requests');
    expect(rows[0].count).toBe(0);
  });

  test('is for whoever may read; to ask the relay takes more', async () => {
    await rig.insert(3);
    await rig.plan({ positions: [1, 2, 3] });
    expect(await dryRun(['--all', '--json'], rig.relayUrl)).toMatchObject({ code: 0 });
    const asked = await runInProcess(['replay', '--all', '--wait', '10ms'], {
      env: { DATABASE_URL: rig.relayUrl },
    });
    expect([asked.code, asked.stdout]).toEqual([5, '']);
    expect(asked.stderr).toContain('docs/roles-and-privileges.md');
  });

  test('shows a bar on a terminal while it counts', async () => {
    await rig.insert(3_000);
    await rig.plan({ positions: Array.from({ length: 3_000 }, (_, i) => i + 1) });
    const holder = await rig.connect();
    await holder.query('begin; lock table postcommit.dead_letters in access exclusive mode');
    const counting = runInProcess(['replay', '--dry-run', '--all'], {
      env: { DATABASE_URL: rig.operatorUrl, NO_COLOR: '1' },
      terminal: TERMINAL,
    });
    await expect
      .poll(
        async () =>
          (
            await rig.admin.query(
              `select count(*)::int from pg_stat_activity where application_name = 'postcommit replay'
                and wait_event_type = 'Lock' and clock_timestamp() - query_start > interval '600 ms'`,
            )
          ).rows[0].count,
        { timeout: 10_000 },
      )
      .toBe(1);
    await holder.query('rollback');
    const { stderr, code } = await counting;
    expect(code).toBe(0);
    expect(stderr).toMatch(/counting {2}\[#+-+\] {2}33 % {2}1,000 events/);
    expect(stderr.endsWith('\r\u001b[K')).toBe(true);
  });
});

test.each([
  [[], 'which events to replay was not said: choose some, or take --all'],
  [['--stream', 'orders'], '--stream alone is everything in it'],
  [['--from-sequence', '5'], 'add --stream'],
  [['--from-position', '9', '--to-position', '3'], '--from-position lies behind --to-position'],
  [
    ['--stream', 's', '--from-sequence', '9', '--to-sequence', '3'],
    '--from-sequence lies behind --to-sequence',
  ],
  [['--from-position', 'first'], 'Expected a whole number above 0.'],
  [
    ['--since', 'yesterday'],
    'Expected a time with its offset, like 2026-01-31T08:00:00Z, or how long ago, like 2h.',
  ],
  [['--since', '2026-01-31T08:00:00'], 'Expected a time with its offset'],
  [['--until', '0000-01-01T00:00:00Z'], 'Expected a time with its offset'],
  [['--subject', 'a..b'], 'It is no pattern for subjects'],
  [['--all', '--subject-prefix', 'again.'], 'Expected the beginning of a subject'],
  [['--all', '--subject-prefix', 'again.>'], 'Expected the beginning of a subject'],
  [['--all', '--subject-prefix', '$JS'], 'Expected the beginning of a subject'],
  [['--all', '--rate', '0'], 'Expected a whole number above 0.'],
  [['--all', '--wait', 'long'], 'Expected a duration'],
  [['--cancel', '1', '--follow', '2'], '--cancel and --follow exclude each other'],
  [['--cancel', '1', '--all'], '--cancel speaks of a replay that was asked for before'],
])('%j is wrong usage: exit 2, a hint, and no database is needed to see it', async (args, message) => {
  const { code, stdout, stderr } = await runInProcess(['replay', ...args], { env: {} });
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toContain(message);
  expect(stderr).toMatch(/^error: /);
  expect(stderr).toContain('hint: postcommit replay --help shows what there is');
});

test('dead letters are left out of what is counted and of what is published', async () => {
  await using stage = await openStage({ natsUrl: nats.url, config: { max_msg_size: 5_000 } });
  await using _relay = await stage.startRelay();
  await stage.write(2);
  await stage.write(1, { payload: 'x'.repeat(10_000) });
  await untilLetters(stage.pool, [[3, 'parked']]);
  const { stdout } = await replay(stage, '--all', '--json');
  expect(JSON.parse(stdout)).toMatchObject({ events: 2, result: { replayed: 2 } });
});
