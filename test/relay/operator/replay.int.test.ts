import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { consume } from '../../../src/consumer/index.ts';
import type { EmbeddedNats } from '../../../src/embedded/index.ts';
import { openStage, type Stage } from '../../guarantees/stage.ts';
import { askLeader, readLetters, untilLetters } from '../../support/dead-letters.ts';
import { openLanes } from '../../support/lanes.ts';
import {
  askForReplay,
  isCopy,
  openReplayStage,
  PREFIX,
  replayRows,
  requestRow,
  untilFinished,
} from '../../support/replays.ts';
import { startNats } from '../../support/services.ts';
import { readStream } from '../../support/stream-history.ts';

let nats: EmbeddedNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

/** Positions of everything behind what the stream holds now, once there is so much of it. */
async function positionsBehind(stage: Stage, last: number, count: number): Promise<number[]> {
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(last + count);
  return (await stage.messages()).slice(last).map(({ position }) => position);
}

describe('which events', () => {
  let stage: Stage;
  let relay: AsyncDisposable;
  beforeAll(async () => {
    stage = await openStage({ natsUrl: nats.url });
    relay = await stage.startRelay();
    for (const key of ['a', 'b', 'c'])
      for (const kind of ['opened', 'closed'])
        await stage.write(1, { key, subject: `${stage.stream}.${kind}.${key}` });
    await vi.waitFor(async () => expect(await stage.lastSequence()).toBe(6), { timeout: 10_000 });
  });
  afterAll(async () => {
    await relay[Symbol.asyncDispose]();
    await stage[Symbol.asyncDispose]();
  });
  const insertedAt = async (position: number) => {
    const { rows } = await stage.pool.query(
      `select to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at
         from postcommit.outbox where position = $1`,
      [position],
    );
    return rows[0].at as string;
  };

  test.each([
    ['positions', async () => ({ fromPosition: 2, toPosition: 4 }), [2, 3, 4]],
    ['from a position on', async () => ({ fromPosition: 5 }), [5, 6]],
    ['sequences', async () => ({ stream: stage.stream, fromSequence: 1, toSequence: 2 }), [1, 2]],
    [
      'a time, its end excluded',
      async () => ({ since: await insertedAt(3), until: await insertedAt(5) }),
      [3, 4],
    ],
    ['a key', async () => ({ key: 'b' }), [3, 4]],
    ['several keys', async () => ({ keys: ['a', 'c'] }), [1, 2, 5, 6]],
    ['a subject with wildcards', async () => ({ subject: `${stage.stream}.closed.*` }), [2, 4, 6]],
    [
      'all conditions at once',
      async () => ({ subject: '*.opened.>', keys: ['b', 'c'], toPosition: 4, stream: stage.stream }),
      [3],
    ],
  ])('%s', async (_, wish, positions) => {
    const before = await stage.lastSequence();
    expect(await askLeader(stage.pool, 'replay', await wish())).toEqual({ replayed: positions.length });
    expect(await positionsBehind(stage, before, positions.length)).toEqual(positions);
  });

  test.each([
    ['nothing at all', { subjectPrefix: 'again', rate: 5 }, 'say which events'],
    ['sequences of no stream', { fromSequence: 1 }, 'sequences are those of a stream'],
    [
      'a stream that nothing was planned for',
      { stream: 'nowhere', key: 'a' },
      "nothing was ever planned for a stream 'nowhere'",
    ],
    ['a prefix with a wildcard', { key: 'a', subjectPrefix: 'again.*' }, 'without wildcards'],
    ['a rate of nothing', { key: 'a', rate: 0 }, 'rate'],
    ['half a key', { kee: 'a' }, 'kee'],
  ])('a request for %s is answered with what is wrong', async (_, wish, words) => {
    const before = await stage.lastSequence();
    expect(await askLeader(stage.pool, 'replay', wish)).toEqual({ error: expect.stringContaining(words) });
    expect(await stage.lastSequence()).toBe(before);
  });

  test('a transaction that has a position and stays open holds nothing up', async () => {
    const client = await stage.pool.connect();
    await client.query('begin');
    await client.query(`insert into postcommit.outbox (subject, payload) values ($1, '')`, [stage.subject]);
    const before = await stage.lastSequence();
    await stage.write(2, { key: 'later' });
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(before + 2);
    expect(await askLeader(stage.pool, 'replay', { key: 'later' })).toEqual({ replayed: 2 });
    await client.query('rollback');
    client.release();
  });

  test('what is written after it was asked for is not part of it', async () => {
    const rated = await askForReplay(stage.pool, { subject: `${stage.stream}.>`, rate: 4 });
    await expect
      .poll(async () => (await requestRow(stage.pool, rated)).result?.replayed, { timeout: 10_000 })
      .toBeGreaterThan(0);
    const { end } = (await requestRow(stage.pool, rated)).result ?? {};
    await stage.write(3, { subject: `${stage.stream}.late` });
    await untilFinished(stage.pool, rated);
    const copied = (await stage.messages()).filter(({ subject }) => subject.endsWith('.late'));
    expect(copied.map(({ position }) => position).every((position) => position > Number(end))).toBe(true);
    expect(copied.length).toBe(3);
  });
});

test('in key ordering there are no sequences to choose by, and the answer says so', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay({ lane: { ordering: 'key' } });
  await stage.write(3, { key: 'a' });
  await stage.untilDrained();
  const answer = await askLeader(stage.pool, 'replay', { stream: stage.stream, fromSequence: 1 });
  expect(answer.error).toContain("is in 'key' ordering");
  expect(await askLeader(stage.pool, 'replay', { stream: stage.stream, key: 'a' })).toEqual({ replayed: 3 });
});

test('events that are dead are left out, and so is what no lane takes any more', async () => {
  await using stage = await openStage({ natsUrl: nats.url, config: { max_msg_size: 5_000 } });
  {
    await using _relay = await stage.startRelay();
    await stage.write(2);
    await stage.write(1, { payload: 'x'.repeat(10_000) });
    await stage.write(2, { subject: `${stage.stream}.former` });
    await untilLetters(stage.pool, [[3, 'parked']]);
    await stage.untilDrained();
  }
  await using _relay = await stage.startRelay({ lane: { subjects: [stage.subject] } });
  expect(await askLeader(stage.pool, 'replay', { fromPosition: 1 })).toEqual({ replayed: 2, misrouted: 2 });
});

test('what has become too large for the stream is counted, and no dead letter: the event itself is stored', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay({ lane: { deadLetters: 'hold' } });
  await stage.write(3, { key: 'a' });
  await stage.write(1, { key: 'a', payload: 'x'.repeat(10_000) });
  await stage.write(3, { key: 'a' });
  await stage.untilDrained();
  await stage.jsm.streams.update(stage.stream, { max_msg_size: 5_000 });
  expect(await askLeader(stage.pool, 'replay', { fromPosition: 1 })).toEqual({ replayed: 6, refused: 1 });
  await stage.write(1, { key: 'a' });
  expect(await positionsBehind(stage, 7, 7)).toEqual([1, 2, 3, 5, 6, 7, 8]);
  expect(await readLetters(stage.pool)).toEqual([]);
});

test('copies under a prefix differ from their events in the subject alone', async () => {
  await using stage = await openReplayStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay({ lane: stage.lane });
  await stage.pool.query(
    `insert into postcommit.outbox (subject, key, type, headers, payload)
     select $1 || '.' || i, 'key ' || i, 'type ' || i, jsonb_build_object('trace', 'header ' || i), convert_to('{}', 'UTF8')
       from generate_series(1, 700) i`,
    [stage.stream],
  );
  await stage.untilDrained();
  const answer = await askLeader(stage.pool, 'replay', { fromPosition: 1, subjectPrefix: PREFIX });
  expect(answer).toEqual({ replayed: 700 });
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(1_400);
  expect(await stage.faults()).toEqual([]);
  expect((await replayRows(stage.pool, stage.stream)).map(({ prefix }) => prefix)).toEqual([PREFIX, PREFIX]);
  const original = await stage.jsm.streams.getMessage(stage.stream, { seq: 3 });
  const copy = await stage.jsm.streams.getMessage(stage.stream, { seq: 703 });
  expect(copy?.subject).toBe(`${PREFIX}.${original?.subject}`);
  const headersOf = (message: typeof copy) =>
    (message?.header.keys() ?? []).map((name) => [name, message?.header.get(name)]);
  const own = ['Nats-Msg-Id', 'Nats-Expected-Last-Sequence'];
  const without = (message: typeof copy) => headersOf(message).filter(([name = '']) => !own.includes(name));
  expect(without(copy)).toEqual(without(original));
  expect(without(copy).map(([name]) => name)).toContain('trace');
  expect(copy?.string()).toBe(original?.string());
});

test('copies may go to the lane of another stream, each key in order, while the first one takes new events', async () => {
  await using lanes = await openLanes(2, {}, { natsUrl: nats.url });
  const [first = '', second = ''] = lanes.streams;
  const subjects = [`${PREFIX}.${first}.>`];
  await lanes.jsm.streams.update(second, { subjects });
  await using _relay = await lanes.startRelay([
    { stream: first, subjects: [`${first}.>`] },
    { stream: second, subjects },
  ]);
  await lanes.write(0, 1_200);
  await lanes.untilStored(1_200);
  const wish = { stream: first, fromPosition: 101, subjectPrefix: PREFIX };
  expect(await askLeader(lanes.pool, 'replay', wish)).toEqual({ replayed: 1_100 });
  await expect
    .poll(async () => (await lanes.jsm.streams.info(second)).state.messages, { timeout: 10_000 })
    .toBe(1_100);
  const copies = await readStream(lanes.jsm, second);
  expect(copies.map(({ position }) => position)).toEqual(Array.from({ length: 1_100 }, (_, i) => 101 + i));
  expect(new Set(copies.map(({ subject }) => subject))).toEqual(new Set([`${PREFIX}.${first}.event`]));
  expect((await lanes.jsm.streams.info(first)).state.messages).toBe(1_200);
});

test('a prefix whose subjects no lane takes is refused before anything is published, and so is one that is too long', async () => {
  await using stage = await openReplayStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay({
    lane: { subjects: [`${stage.stream}.>`, `${PREFIX}.${stage.stream}.opened`] },
  });
  // More than a portion before the one that does not fit.
  await stage.write(1_500, { subject: `${stage.stream}.opened` });
  await stage.write(1, { subject: `${stage.stream}.closed` });
  await stage.untilDrained();
  const uncovered = await askLeader(stage.pool, 'replay', { fromPosition: 1, subjectPrefix: PREFIX });
  expect(uncovered.error).toContain(
    `no lane takes '${PREFIX}.${stage.stream}.closed', of the event at position 1501; nothing was published`,
  );
  const long = await askLeader(stage.pool, 'replay', { fromPosition: 1, subjectPrefix: 'x'.repeat(230) });
  expect(long.error).toMatch(/has \d{3} bytes, and 255 are allowed; nothing was published/);
  expect(await stage.lastSequence()).toBe(1_501);
  const covered = { subject: `${stage.stream}.opened`, subjectPrefix: PREFIX };
  expect(await askLeader(stage.pool, 'replay', covered)).toEqual({ replayed: 1_500 });
});

test('a rate is kept over portions, and by a new leader', async () => {
  const [events, rate] = [120, 40];
  await using stage = await openStage({ natsUrl: nats.url });
  const asked = async () => askForReplay(stage.pool, { fromPosition: 1, rate });
  let id = 0;
  {
    await using _relay = await stage.startRelay();
    await stage.write(events);
    await stage.untilDrained();
    id = await asked();
    await expect
      .poll(async () => (await requestRow(stage.pool, id)).result?.replayed, { timeout: 10_000 })
      .toBeGreaterThanOrEqual(40);
  }
  expect((await requestRow(stage.pool, id)).finished).toBe(false);
  await using _relay = await stage.startRelay();
  expect(await untilFinished(stage.pool, id)).toEqual({ replayed: events });
  const rows = await replayRows(stage.pool, stage.stream);
  expect(rows.reduce((sum, row) => sum + row.events, 0)).toBe(events);
  expect(Math.max(...rows.map((row) => row.events))).toBeLessThanOrEqual(rate / 2);
  // By the database's clock, and whatever the machine is busy with: no portion comes before its time.
  rows.slice(1).forEach((row, i) => {
    const before = rows[i] ?? row;
    expect(row.plannedAtMs - before.plannedAtMs).toBeGreaterThanOrEqual((before.events / rate) * 1_000 - 1);
  });
});

test('a replay that is cancelled ends where it is; both requests keep what came of it and who asked', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay();
  await stage.write(200);
  await stage.untilDrained();
  const id = await askForReplay(stage.pool, { fromPosition: 1, rate: 20 });
  await expect
    .poll(async () => (await requestRow(stage.pool, id)).result?.replayed, { timeout: 10_000 })
    .toBeGreaterThan(0);
  const answer = await askLeader(stage.pool, 'cancel', { request: id });
  const { result, finished } = await requestRow(stage.pool, id);
  expect(finished).toBe(true);
  const replayed = Number(result?.replayed);
  expect(replayed).toBeLessThan(200);
  expect(result).toEqual({ replayed, cancelledBy: id + 1 });
  expect(answer).toEqual({ cancelled: true, request: id, replayed, cancelledBy: id + 1 });
  // The next request is served after any portion that might still come.
  expect(await askLeader(stage.pool, 'cancel', { request: id })).toEqual({
    cancelled: false,
    request: id,
    reason: `request ${id} is finished`,
  });
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(200 + replayed);
  const { rows } = await stage.pool.query(
    'select kind, requested_by = session_user as who, finished_at is not null as done from postcommit.requests order by id limit 2',
  );
  expect(rows).toEqual([
    { kind: 'replay', who: true, done: true },
    { kind: 'cancel', who: true, done: true },
  ]);
  expect(await askLeader(stage.pool, 'cancel', { request: 999 })).toEqual({
    error: 'there is no replay with the number 999',
  });
  expect(await stage.faults()).toEqual([]);
});

test('one that waits for a lane which is paused says so, and can be cancelled', async () => {
  await using stage = await openStage({
    natsUrl: nats.url,
    config: { max_msgs: 10, discard: 'new' as never },
  });
  await using relay = await stage.startRelay();
  await stage.write(11);
  await relay.until('paused');
  const id = await askForReplay(stage.pool, { fromPosition: 1 });
  await expect
    .poll(async () => (await requestRow(stage.pool, id)).result, { timeout: 20_000 })
    .toMatchObject({ replayed: 0, waitsFor: stage.stream });
  expect(await askLeader(stage.pool, 'cancel', { request: id })).toMatchObject({ cancelled: true });
  expect((await requestRow(stage.pool, id)).result).toEqual({ replayed: 0, cancelledBy: id + 1 });
});

test('other requests have their turn beside a long replay, and two replays go on side by side', async () => {
  await using stage = await openReplayStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay({ lane: stage.lane });
  await stage.write(60);
  await stage.untilDrained();
  const slow = await askForReplay(stage.pool, { fromPosition: 1, rate: 5, subjectPrefix: PREFIX });
  const other = await askForReplay(stage.pool, { fromPosition: 1, toPosition: 10 });
  expect(await untilFinished(stage.pool, other)).toEqual({ replayed: 10 });
  expect(await askLeader(stage.pool, 'retry')).toEqual({ retried: 0, misrouted: 0, gone: 0 });
  expect((await requestRow(stage.pool, slow)).finished).toBe(false);
  await askLeader(stage.pool, 'cancel', { request: slow });
  expect(await stage.faults()).toEqual([]);
  const copies = (await stage.messages()).slice(60);
  expect(copies.filter((message) => !isCopy(message)).length).toBe(10);
});

test('portions are bounded in bytes: large events do not fill the memory', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay();
  await stage.write(30, { payload: 'x'.repeat(900_000) });
  await stage.untilDrained(60_000);
  expect(await askLeader(stage.pool, 'replay', { fromPosition: 1 })).toEqual({ replayed: 30 });
  const rows = await replayRows(stage.pool, stage.stream);
  expect(Math.max(...rows.map(({ events }) => events))).toBeLessThanOrEqual(9);
});

test('a dead letter that was retried is an event like others, though it was planned long after its neighbours', async () => {
  await using stage = await openStage({ natsUrl: nats.url, config: { max_msg_size: 5_000 } });
  await using _relay = await stage.startRelay();
  await stage.write(2);
  await stage.write(1, { payload: 'x'.repeat(10_000) });
  await stage.write(2);
  await untilLetters(stage.pool, [[3, 'parked']]);
  await stage.jsm.streams.update(stage.stream, { max_msg_size: -1 });
  expect(await askLeader(stage.pool, 'retry')).toMatchObject({ retried: 1 });
  await untilLetters(stage.pool, [[3, 'resolved']]);
  expect(await askLeader(stage.pool, 'replay', { fromPosition: 2, toPosition: 4 })).toEqual({ replayed: 3 });
  expect(await positionsBehind(stage, 5, 3)).toEqual([2, 3, 4]);
  await stage.pool.query('delete from postcommit.dead_letters'); // Pruned past the retention.
  expect(await askLeader(stage.pool, 'replay', { fromPosition: 3, toPosition: 3 })).toEqual({ replayed: 1 });
});

test('what an operator writes into the place of the progress is not believed, and ends no leadership', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await stage.write(3);
  await stage.untilDrained();
  const { rows } = await stage.pool.query(
    `insert into postcommit.requests (kind, detail, result)
     values ('replay', '{"fromPosition": 1}', '{"above": "far", "replayed": -5}') returning id::int`,
  );
  expect(await untilFinished(stage.pool, rows[0].id)).toEqual({ replayed: 3 });
  expect(relay.relay.status().epoch).toBe(1);
});

test('an inbox that has seen an event knows its copy under a prefix; a consumer of the prefix sees the past once', async () => {
  await using stage = await openReplayStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay({ lane: stage.lane });
  await stage.write(5, { key: 'a' });
  await stage.untilDrained();
  const start = async (durable: string, ...subjects: string[]) => {
    const received: string[] = [];
    const filter = subjects.length === 0 ? {} : { subjects };
    const options = { nats: nats.url, stream: stage.stream, durable, db: stage.pool, ...filter };
    const consumer = await consume(options, ({ subject, id }) => void received.push(`${subject} ${id}`));
    return { received, consumer };
  };
  const everything = await start('everything');
  const rebuild = await start('rebuild', `${PREFIX}.${stage.stream}.>`);
  await expect.poll(() => everything.received.length, { timeout: 20_000 }).toBe(5);
  for (let time = 1; time <= 2; time++)
    expect(await askLeader(stage.pool, 'replay', { fromPosition: 1, subjectPrefix: PREFIX })).toEqual({
      replayed: 5,
    });
  await stage.write(1, { key: 'a' });
  await expect.poll(() => everything.received.length, { timeout: 20_000 }).toBe(6);
  await expect.poll(() => rebuild.received.length, { timeout: 20_000 }).toBe(5);
  await everything.consumer.stop();
  await rebuild.consumer.stop();
  expect(rebuild.received).toEqual(everything.received.slice(0, 5).map((line) => `${PREFIX}.${line}`));
  const { rows } = await stage.pool.query(
    'select consumer, count(*)::int from postcommit.inbox group by consumer order by consumer',
  );
  expect(rows).toEqual([
    { consumer: 'everything', count: 6 },
    { consumer: 'rebuild', count: 5 },
  ]);
});
