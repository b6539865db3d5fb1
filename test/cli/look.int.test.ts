import { expect, onTestFinished, test } from 'vitest';
import { openStage, type Stage } from '../guarantees/stage.ts';
import { type CliResult, runCli, startCli } from '../support/cli.ts';
import { untilLetters } from '../support/dead-letters.ts';
import { natsUrl } from '../support/services.ts';

const NOWHERE = 'postgres://nobody:hunter2@127.0.0.1:1/none';

function env({ databaseUrl, stream }: Stage) {
  return { DATABASE_URL: databaseUrl, NATS_URL: natsUrl(), POSTCOMMIT_STREAM: stream };
}

function run(stage: Stage, ...args: string[]): Promise<CliResult> {
  return runCli(args, env(stage));
}

test('status: who leads, what waits, the stream, its consumers and the dead letters', async () => {
  await using stage = await openStage({ config: { max_msg_size: 10_000 } });
  const before = await run(stage, 'status');
  expect([before.code, before.stderr]).toEqual([0, '']);
  expect(before.stdout).toContain('nobody leads; no standby');
  await stage.write(3);
  expect((await run(stage, 'status')).stdout).toMatch(/^backlog\s+3 events, the oldest for /m);
  await using _relay = await stage.startRelay();
  await stage.untilDrained();
  await stage.jsm.consumers.add(stage.stream, { durable_name: 'wards', ack_policy: 'explicit' as never });
  await stage.write(1, { payload: 'x'.repeat(20_000) });
  await untilLetters(stage.pool, [[4, 'parked']]);
  const { code, stdout } = await run(stage, 'status');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^relay\s+\S+:\d+ leads \(term 1\); no standby$/m);
  expect(stdout).toMatch(/^backlog\s+nothing waits$/m);
  expect(stdout).toMatch(/^outbox\s+1 of 8 segments, .*; last position 4$/m);
  expect(stdout).toMatch(new RegExp(`^dead letters\\s+1 refused of ${stage.stream} \\(parked\\)$`, 'm'));
  expect(stdout).toMatch(new RegExp(`^stream\\s+${stage.stream}: 3 messages, .*, last message .* ago$`, 'm'));
  expect(stdout).toMatch(/^\s+wards: lag 3, under way 0, done up to 0$/m);
  const json = JSON.parse((await run(stage, 'status', '--json')).stdout);
  expect(json).toMatchObject({
    backlog: { events: 0, exact: true, oldestAgeMs: null },
    lanes: [{ stream: stage.stream, ordering: 'stream', inFlight: 0 }],
    system: { database: { kind: 'seen' }, broker: { kind: 'seen' } },
  });
});

test('status says what cannot be seen, shows the rest, and no secret', async () => {
  await using stage = await openStage();
  const { code, stdout } = await runCli(['status'], { ...env(stage), DATABASE_URL: NOWHERE });
  expect(code).toBe(4);
  expect(stdout).toMatch(/^PostgreSQL\s+cannot be seen: .*127\.0\.0\.1:1/m);
  expect(stdout).toContain(`${stage.stream}: 0 messages`);
  expect(stdout).not.toContain('hunter2');
});

test('check: one line and the exit codes of monitoring plugins', async () => {
  await using stage = await openStage({ config: { max_msg_size: 10_000 } });
  await stage.write(2);
  const halted = await run(stage, 'check', '--max-lag', '1ms', '--max-backlog', '1');
  expect(halted.code).toBe(2);
  expect(halted.stdout).toMatch(
    /^postcommit CRITICAL - no relay leads; the oldest event has waited for .*; 2 events wait \| lag=\d+\.\d+s;;0\.001;0 backlog=2;;1;0 dead_letters=0;0;;0\n$/,
  );
  {
    await using _relay = await stage.startRelay();
    await stage.untilDrained();
    const fine = await run(stage, 'check');
    expect([fine.code, fine.stdout]).toEqual([
      0,
      expect.stringMatching(/^postcommit OK - nothing waits \| /),
    ]);
    const alone = await run(stage, 'check', '--standby');
    expect([alone.code, alone.stdout]).toEqual([1, expect.stringContaining('no relay stands by')]);
    await stage.write(1, { payload: 'x'.repeat(20_000) });
    await untilLetters(stage.pool, [[3, 'parked']]);
    const dead = await run(stage, 'check');
    expect([dead.code, dead.stdout]).toEqual([1, expect.stringContaining('1 dead letter await a decision')]);
    expect((await run(stage, 'check', '--max-dead-letters', '1')).code).toBe(0);
    await stage.jsm.consumers.add(stage.stream, { durable_name: 'slow', ack_policy: 'explicit' as never });
    const behind = await run(stage, 'check', '--max-dead-letters', '9', '--max-consumer-lag', '1');
    expect([behind.code, behind.stdout]).toEqual([
      1,
      expect.stringContaining(`slow on ${stage.stream} is 2 messages behind`),
    ]);
  }
  const unseen = await runCli(['check'], { ...env(stage), DATABASE_URL: NOWHERE });
  expect([unseen.code, unseen.stdout]).toEqual([
    3,
    expect.stringContaining('UNKNOWN - PostgreSQL cannot be'),
  ]);
  expect(unseen.stdout).not.toContain('hunter2');
  const unset = await runCli(['check'], {});
  expect([unset.code, unset.stdout]).toEqual([
    3,
    expect.stringMatching(/^postcommit UNKNOWN - .*DATABASE_URL.*\n$/),
  ]);
});

test('tail: what is stored from now on, by subject, without payloads unless asked for', async () => {
  await using stage = await openStage();
  await using _relay = await stage.startRelay();
  const write = (subject: string, payload: string) =>
    stage.pool.query('select postcommit.enqueue($1, to_jsonb($2::text), key => $3, type => $4)', [
      `${stage.stream}.${subject}`,
      payload,
      'patient-7',
      'moved',
    ]);
  await write('ng.patient.7', 'Ada');
  await write('gb.patient.7', 'Bob');
  await stage.untilDrained();
  const { NATS_URL, POSTCOMMIT_STREAM } = env(stage);
  // NATS is all it needs.
  const settings = { NATS_URL, POSTCOMMIT_STREAM };
  const past = ['tail', '--since', '1h', '--limit', '1', '--subject', `${stage.stream}.ng.>`];
  const plain = await runCli(past, settings);
  expect(plain.code).toBe(0);
  expect(plain.stdout).toMatch(
    new RegExp(
      `^\\S+Z  ${stage.stream}/1  ${stage.stream}\\.ng\\.patient\\.7  key=patient-7  type=moved  id=[0-9a-f-]{36}\\n$`,
    ),
  );
  expect(JSON.parse((await runCli([...past, '--payload', '--json'], settings)).stdout)).toMatchObject({
    sequence: 1,
    position: 1,
    payload: '"Ada"',
  });
  await using following = startCli(['tail', '--json'], settings);
  onTestFinished(() => void following.process.kill('SIGKILL'));
  const lines: Record<string, unknown>[] = [];
  following.process.stdout?.on('data', (chunk) => {
    for (const line of String(chunk).split('\n')) if (line !== '') lines.push(JSON.parse(line));
  });
  // Until it follows, what is written is none of its business.
  await expect
    .poll(
      async () => {
        await write('ng.patient.8', 'Cleo');
        return lines.length;
      },
      { timeout: 15_000, interval: 100 },
    )
    .toBeGreaterThan(0);
  expect(lines[0]).toMatchObject({ subject: `${stage.stream}.ng.patient.8`, key: 'patient-7' });
  following.process.kill('SIGINT');
  expect(await following.exit).toBe(0);
});

test.each([
  [['tail', '--subject', 'a..b'], 'It is no subject'],
  [['tail', '--limit', '0'], 'Expected a whole number'],
  [['check', '--max-lag', 'long'], 'Expected a duration'],
])('%j is refused, with a hint', async (args, word) => {
  const { code, stderr } = await runCli(args);
  expect([code, stderr]).toEqual([2, expect.stringContaining(word)]);
  expect(stderr).toContain('--help shows what there is');
});
