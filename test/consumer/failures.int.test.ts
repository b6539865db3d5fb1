import type pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { type ConsumeOptions, consume, type Handler, Reject, Retry } from '../../src/consumer/index.ts';
import { runCli } from '../support/cli.ts';
import { createScene, effect, type Scene } from './scene.ts';

async function scene(): Promise<Scene> {
  const created = await createScene();
  onTestFinished(() => created[Symbol.asyncDispose]());
  return created;
}

const QUICK = { backoff: { firstMs: 5, maxMs: 20 }, maxAttempts: 4 };

async function start(
  { options }: Scene,
  handler: Handler<pg.PoolClient>,
  more: Partial<ConsumeOptions<pg.Pool>> = {},
) {
  const consumer = await consume({ ...options, ...QUICK, ...more }, handler);
  onTestFinished(() => consumer.stop());
  return consumer;
}

async function letters({ pool }: Scene) {
  const { rows } = await pool.query(
    `select consumer, stream, sequence::int, event_id, subject, key, type, headers, convert_from(payload, 'UTF8') as payload,
            state, outcome, reason, attempts, jsonb_path_query_array(history, '$[*].reason') as history
       from postcommit.dead_letters order by id`,
  );
  return rows;
}

async function failuresLeft({ pool }: Scene): Promise<number> {
  return (await pool.query('select from postcommit.consumer_failures')).rowCount ?? 0;
}

test.each(['key', 'stream', 'none'] as const)(
  'a handler that always fails ends as a dead letter with the message and its history, and is not delivered again (%s)',
  async (order) => {
    const here = await scene();
    const terminated: string[] = [];
    here.connection.subscribe(`$JS.ACK.${here.stream}.>`, {
      callback: (_, message) => {
        if (message.string() === '+TERM') terminated.push(message.subject);
      },
    });
    await here.publish(
      { patient: 1 },
      { 'Postcommit-Event-Id': 'e1', 'Postcommit-Key': 'p1', traceparent: '00-1' },
    );
    await here.publish({ patient: 1 }, { 'Postcommit-Event-Id': 'e2', 'Postcommit-Key': 'p1' });
    let attempts = 0;
    await start(
      here,
      async (event, context) => {
        await effect(event, context);
        if (event.id === 'e1') throw new Error(`attempt ${++attempts} failed`);
      },
      { order },
    );
    await here.untilSettled();
    expect(await letters(here)).toEqual([
      {
        consumer: here.durable,
        stream: here.stream,
        sequence: 1,
        event_id: 'e1',
        subject: `${here.stream}.event`,
        key: 'p1',
        type: null,
        headers: { traceparent: '00-1' },
        payload: '{"patient":1}',
        state: 'parked',
        outcome: 'failed',
        reason: 'attempt 4 failed',
        attempts: 4,
        history: [1, 2, 3, 4].map((n) => `attempt ${n} failed`),
      },
    ]);
    expect(await here.effects()).toEqual(['e2']);
    expect(await here.inboxIds()).toEqual(['e1', 'e2']);
    await expect.poll(() => terminated.length).toBe(1);
    expect([await failuresLeft(here), await here.counted('dead')]).toEqual([0, 1]);
  },
);

test('Reject is for good, Retry says when; both are attempts, and success forgets them', async () => {
  const here = await scene();
  await here.publish('never', { 'Postcommit-Key': 'a' });
  await here.publish('later', { 'Postcommit-Key': 'b' });
  const times: number[] = [];
  await start(here, async (event, context) => {
    await effect(event, context);
    if (event.json() === 'never') throw new Reject('no such patient');
    times.push(performance.now());
    if (times.length < 3) throw new Retry(150, 'the registry is busy');
  });
  await here.untilSettled();
  expect(await letters(here)).toMatchObject([{ sequence: 1, reason: 'no such patient', attempts: 1 }]);
  expect(await here.effects()).toEqual([`${here.stream}:2`]);
  const gaps = times.slice(1).map((at, i) => at - (times[i] ?? 0));
  expect(Math.min(...gaps)).toBeGreaterThan(145);
  expect(await failuresLeft(here)).toBe(0);
});

test('attempts are counted in the database: another instance goes on where the last one stopped', async () => {
  const here = await scene();
  await here.publish('stubborn');
  for (let life = 0; life < 2; life++) {
    let attempts = 0;
    const consumer = await start(here, () => {
      attempts++;
      // Two of them in each life: the next one would come too late for this test.
      throw attempts === 2 ? new Retry(600_000) : new Error('not today');
    });
    await expect.poll(() => attempts, { timeout: 10_000 }).toBe(2);
    const counted = async () =>
      (await here.pool.query('select attempts from postcommit.consumer_failures')).rows;
    if (life === 0) await expect.poll(counted).toEqual([{ attempts: 2 }]);
    else await here.untilSettled();
    await consumer.stop();
  }
  expect((await letters(here)).map(({ attempts }) => attempts)).toEqual([QUICK.maxAttempts]);
});

test('a handler that makes the database say that it has no room, each time, is no outage', async () => {
  const here = await scene();
  await here.publish('greedy');
  await start(
    here,
    async (_, { tx }) => {
      await tx.query("do $$ begin raise exception 'no room' using errcode = '53200'; end $$");
    },
    { maxAttempts: 2 },
  );
  await expect
    .poll(async () => (await letters(here)).map(({ reason }) => reason), { timeout: 20_000 })
    .toEqual(['no room']);
});

test('dead letters of a consumer are listed, shown, retried to success and discarded from the command line', async () => {
  const here = await scene();
  const run = (...args: string[]) => runCli(args, { DATABASE_URL: here.database.url });
  for (const id of ['e1', 'e2', 'e3'])
    await here.publish({ id }, { 'Postcommit-Event-Id': id, 'Postcommit-Key': id });
  let broken = true;
  await start(here, async (event, context) => {
    await effect(event, context);
    if (broken || event.id === 'e3') throw new Error(`the ledger refuses ${event.id}`);
  });
  await expect.poll(async () => (await letters(here)).length, { timeout: 10_000 }).toBe(3);
  const list = await run('dead-letters', 'list', '--consumer', here.durable);
  expect([list.code, list.stderr]).toEqual([0, '']);
  expect(list.stdout).toContain(`consumer ${here.durable}`);
  const listed: { id: number; eventId: string; consumer: string }[] = JSON.parse(
    (await run('dead-letters', 'list', '--json')).stdout,
  );
  const [first, second, third] = ['e1', 'e2', 'e3'].map((id) => listed.find(({ eventId }) => eventId === id));
  const shown = await run('dead-letters', 'show', String(first?.id));
  expect(shown.stdout.match(/attempt .*: the ledger refuses e1/g)).toHaveLength(QUICK.maxAttempts);

  broken = false;
  expect(await run('dead-letters', 'retry', '--id', `${first?.id},${third?.id}`)).toMatchObject({
    code: 0,
    stdout: 'retrying 2\n',
  });
  await expect.poll(() => here.effects(), { timeout: 10_000 }).toEqual(['e1']);
  const states = async () =>
    (await letters(here))
      .sort((one, other) => one.sequence - other.sequence)
      .map(({ state, attempts }) => [state, attempts]);
  await expect.poll(states, { timeout: 10_000 }).toEqual([
    ['resolved', QUICK.maxAttempts],
    ['parked', QUICK.maxAttempts],
    ['parked', QUICK.maxAttempts + 1],
  ]);
  expect(await run('dead-letters', 'discard', '--consumer', here.durable, '--key', 'e2')).toMatchObject({
    code: 0,
    stdout: 'discarded 1\n',
  });
  expect((await states())[1]).toEqual(['discarded', QUICK.maxAttempts]);
  expect(JSON.parse((await run('dead-letters', 'list', '--all', '--json')).stdout)).toHaveLength(3);
  expect(second?.consumer).toBe(here.durable);
  const { rows } = await here.pool.query(
    'select kind, finished_at is not null as done, result from postcommit.requests order by id',
  );
  expect(rows).toEqual([
    { kind: 'retry', done: true, result: { consumerLetters: 2 } },
    { kind: 'discard', done: true, result: { consumerLetters: 1 } },
  ]);
});
