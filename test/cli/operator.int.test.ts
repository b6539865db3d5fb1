import { expect, test } from 'vitest';
import { openStage, type Stage } from '../guarantees/stage.ts';
import { runCli } from '../support/cli.ts';
import { untilLetters } from '../support/dead-letters.ts';

const SECRET = 'Ada Lovelace';
const LARGE = `${SECRET} ${'x'.repeat(20_000)}`;

async function run({ databaseUrl }: Stage, ...args: string[]) {
  return runCli(args, { DATABASE_URL: databaseUrl });
}

test('dead letters are listed, shown, retried and discarded from the command line, and the requests stay', async () => {
  await using stage = await openStage({ config: { max_msg_size: 10_000 } });
  await using _relay = await stage.startRelay();
  await stage.write(2, { payload: LARGE, key: 'patient-1' });
  await untilLetters(stage.pool, [
    [1, 'parked'],
    [2, 'parked'],
  ]);
  const list = await run(stage, 'dead-letters', 'list');
  expect([list.code, list.stderr]).toEqual([0, '']);
  expect(list.stdout).toContain('max_msg_size');
  expect(list.stdout).toContain('key patient-1');
  expect(list.stdout).not.toContain(SECRET);
  const [first, second] = JSON.parse((await run(stage, 'dead-letters', 'list', '--json')).stdout);
  expect(first).toMatchObject({ position: 1, outcome: 'refused', attempts: 1, state: 'parked' });
  expect((await run(stage, 'dead-letters', 'show', String(first.id))).stdout).not.toContain(SECRET);
  expect((await run(stage, 'dead-letters', 'show', String(first.id), '--payload')).stdout).toContain(SECRET);
  expect((await run(stage, 'dead-letters', 'show', '999')).stderr).toContain('there is no dead letter 999');
  const nothing = await run(stage, 'dead-letters', 'discard');
  expect([nothing.code, nothing.stderr]).toEqual([3, expect.stringContaining('--all')]);
  expect(await run(stage, 'dead-letters', 'discard', '--id', String(second.id))).toMatchObject({
    code: 0,
    stdout: 'discarded 1, released 0\n',
  });
  await stage.jsm.streams.update(stage.stream, { max_msg_size: -1 });
  expect(await run(stage, 'dead-letters', 'retry', '--all')).toMatchObject({
    code: 0,
    stdout: 'retried 1, misrouted 0, gone 0\n',
  });
  await untilLetters(stage.pool, [
    [1, 'resolved'],
    [2, 'discarded'],
  ]);
  const { rows } = await stage.pool.query(
    'select kind, requested_by is not null as who, finished_at is not null as done from postcommit.requests order by id',
  );
  expect(rows).toEqual([
    { kind: 'discard', who: true, done: true },
    { kind: 'retry', who: true, done: true },
  ]);
});

test('without a leader a request waits, and says so', async () => {
  await using stage = await openStage();
  const asked = await run(stage, 'adopt', '--stream', stage.stream, '--wait', '1s');
  expect([asked.code, asked.stdout]).toEqual([1, expect.stringContaining('No relay has answered')]);
});

test('a stream made anew is adopted from the command line', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay();
  await stage.write(3);
  await stage.untilDrained();
  expect((await run(stage, 'adopt', '--stream', stage.stream)).stdout).toContain('Not adopted');
  await stage.jsm.streams.delete(stage.stream);
  await stage.jsm.streams.add({ name: stage.stream, subjects: [`${stage.stream}.>`] });
  expect(await relay.until('paused', 15_000)).toContain(`postcommit adopt --stream ${stage.stream}`);
  expect(await run(stage, 'adopt', '--stream', stage.stream, '--republish')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('3 events of before go onto it'),
  });
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(3);
});
