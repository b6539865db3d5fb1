import type { DiscardPolicy } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { sleep } from '../../src/lifecycle/abort.ts';
import { askLeader, letterStates } from '../support/dead-letters.ts';
import { faultsOfStreams, openLanes } from '../support/lanes.ts';
import { startNats } from '../support/services.ts';

const FULL = { discard: 'new' as DiscardPolicy, max_msgs: 50 };

test('four lanes share one outbox: each event is in its stream once and in order', async () => {
  await using lanes = await openLanes(4);
  await using relay = await lanes.startRelay();
  await using writers = lanes.startWriters();
  await lanes.untilStored(2_000);
  await writers.stop();
  await lanes.untilDrained();
  expect(await faultsOfStreams(lanes)).toEqual([]);
  expect(relay.relay.status().lanes.map(({ state }) => state)).toEqual(Array(4).fill('publishing'));
});

test('one of four streams full delays none of the others, and catches up when there is room', async () => {
  await using lanes = await openLanes(4, { 1: FULL });
  await using relay = await lanes.startRelay();
  await using writers = lanes.startWriters();
  await expect.poll(() => relay.relay.status().lanes[1]?.state, { timeout: 10_000 }).toBe('paused');
  const latencies = await lanes.probeLatency([0, 2, 3], 20);
  expect(Math.max(...latencies)).toBeLessThan(1_000);
  expect(relay.relay.status().lanes[1]?.state).toBe('paused');
  await lanes.jsm.streams.update(lanes.streams[1] ?? '', { max_msgs: -1 });
  await expect.poll(() => relay.relay.status().lanes[1]?.state, { timeout: 15_000 }).toBe('publishing');
  await lanes.probeLatency([1], 5);
  await writers.stop();
  await lanes.untilDrained();
  expect(await faultsOfStreams(lanes)).toEqual([]);
});

test('relays killed while one stream is full lose and double nothing, in any lane', async () => {
  await using lanes = await openLanes(3, { 0: FULL });
  await using writers = lanes.startWriters();
  for (let kill = 0; kill < 4; kill++) {
    await using relay = await lanes.startRelayProcess();
    await relay.line('ready');
    await lanes.untilStored((await lanes.stored()) + 500);
    if (kill === 2) await lanes.jsm.streams.update(lanes.streams[0] ?? '', { max_msgs: -1 });
    relay.kill('SIGKILL');
    await relay.exit;
  }
  await using _relay = await lanes.startRelay();
  await lanes.untilStored((await lanes.stored()) + 200);
  await writers.stop();
  await lanes.untilDrained();
  expect(await faultsOfStreams(lanes)).toEqual([]);
});

test('subjects moved from one lane to another between restarts lose and double nothing', async () => {
  await using lanes = await openLanes(2, { 1: FULL });
  await using writers = lanes.startWriters();
  {
    await using relay = await lanes.startRelay();
    await expect.poll(() => relay.relay.status().lanes[1]?.state, { timeout: 10_000 }).toBe('paused');
    await lanes.untilStored(500);
  }
  // What was planned for the full stream, and what it had not even read, goes to the other one, which is ahead of it.
  const [first, second] = lanes.streams;
  await lanes.moveSubjects(1, 0);
  {
    await using _relay = await lanes.startRelay([
      { stream: first ?? '', subjects: [`${first}.>`, `${second}.>`] },
    ]);
    await lanes.untilStored((await lanes.stored()) + 500);
    await writers.stop();
    const states = async () => new Set((await letterStates(lanes.pool)).map(([, state]) => state));
    await expect.poll(states, { timeout: 20_000 }).toEqual(new Set(['resolved']));
    await lanes.untilDrained();
  }
  expect(await faultsOfStreams(lanes)).toEqual([]);
});

test('a stream added later starts right, and takes what was misrouted before when it is retried', async () => {
  await using lanes = await openLanes(2);
  const [first = ''] = lanes.streams;
  await lanes.write(0, 10);
  await lanes.write(1, 5);
  {
    await using _relay = await lanes.startRelay([{ stream: first, subjects: [`${first}.>`] }]);
    await expect.poll(async () => (await letterStates(lanes.pool)).length, { timeout: 10_000 }).toBe(5);
    await lanes.write(0, 10);
    await lanes.untilStored(20);
  }
  await using _relay = await lanes.startRelay();
  await lanes.write(1, 5);
  await lanes.untilStored(25);
  expect(await askLeader(lanes.pool, 'retry', { outcome: 'misrouted' })).toMatchObject({ retried: 5 });
  await lanes.untilStored(30);
  await lanes.untilDrained();
  expect(await faultsOfStreams(lanes)).toEqual([]);
});

test('an idle lane writes down now and then how far it has read', async () => {
  await using lanes = await openLanes(2);
  await using _relay = await lanes.startRelay();
  await lanes.write(1, 1);
  await lanes.untilStored(1);
  await lanes.write(0, 12_000);
  await lanes.untilStored(12_001);
  await lanes.write(0, 1);
  await expect.poll(() => lanes.readTo(1), { timeout: 10_000 }).toBeGreaterThan(10_000);
  await lanes.untilDrained();
  expect(await faultsOfStreams(lanes)).toEqual([]);
});

test('a stream that is no lane any more does not keep later starts reading from where it was', async () => {
  await using lanes = await openLanes(2);
  const [first = ''] = lanes.streams;
  {
    await using _relay = await lanes.startRelay();
    await lanes.write(1, 1);
    await lanes.write(0, 1);
    await lanes.untilStored(2);
  }
  await using _relay = await lanes.startRelay([{ stream: first, subjects: [`${first}.>`] }]);
  await lanes.write(0, 12_000);
  await lanes.untilStored(12_002);
  await expect.poll(() => lanes.readTo(1), { timeout: 15_000 }).toBeGreaterThan(12_000);
  expect(await faultsOfStreams(lanes)).toEqual([]);
});

test('a stream that is deleted and no lane any more hands over what was planned for it', async () => {
  await using lanes = await openLanes(2, { 1: FULL });
  const [first = '', second = ''] = lanes.streams;
  {
    await using relay = await lanes.startRelay();
    await lanes.write(1, 200);
    await expect.poll(() => relay.relay.status().lanes[1]?.state, { timeout: 10_000 }).toBe('paused');
  }
  await lanes.jsm.streams.delete(second);
  await lanes.jsm.streams.update(first, { subjects: [`${first}.>`, `${second}.>`] });
  await using _relay = await lanes.startRelay([{ stream: first, subjects: [`${first}.>`, `${second}.>`] }]);
  await lanes.write(0, 5);
  // No later row of the log says that fifty were stored: they go over with what the stream never took.
  await expect
    .poll(async () => (await lanes.jsm.streams.info(first)).state.messages, { timeout: 15_000 })
    .toBe(205);
});

test('of a lane in key ordering that is no more, the newest row is brought to an end, too', async () => {
  await using lanes = await openLanes(2, { 1: FULL });
  const [first = '', second = ''] = lanes.streams;
  {
    await using relay = await lanes.startRelay([
      { stream: first, subjects: [`${first}.>`] },
      { stream: second, subjects: [`${second}.>`], ordering: 'key' },
    ]);
    await lanes.write(1, 50);
    await lanes.untilStored(50);
    await lanes.write(1, 1); // There is no room for it: the only row that is not settled.
    await expect.poll(() => relay.relay.status().lanes[1]?.state, { timeout: 10_000 }).toBe('paused');
  }
  await lanes.jsm.streams.delete(second);
  await lanes.jsm.streams.update(first, { subjects: [`${first}.>`, `${second}.>`] });
  await using _relay = await lanes.startRelay([{ stream: first, subjects: [`${first}.>`, `${second}.>`] }]);
  await expect
    .poll(async () => (await lanes.jsm.streams.info(first)).state.messages, { timeout: 15_000 })
    .toBeGreaterThanOrEqual(1);
});

test('a replay over two lanes of which one is full copies into the other once', async () => {
  await using lanes = await openLanes(2, { 1: FULL });
  await using relay = await lanes.startRelay();
  await lanes.write(0, 10);
  await lanes.write(1, 51);
  await lanes.untilStored(60);
  await expect.poll(() => relay.relay.status().lanes[1]?.state, { timeout: 10_000 }).toBe('paused');
  const { rows } = await lanes.pool.query(
    `insert into postcommit.requests (kind, detail) values ('replay', '{"fromPosition": 1}') returning id`,
  );
  await lanes.untilStored(70);
  // Asked again and again, about once a second, whether the other lane can take its share.
  const asked = async () =>
    (await lanes.pool.query('select result from postcommit.requests where id = $1', [rows[0].id])).rows[0]
      .result;
  await expect.poll(asked, { timeout: 5_000 }).toMatchObject({ replayed: 10, done: [lanes.streams[0]] });
  await sleep(3_500);
  expect((await lanes.jsm.streams.info(lanes.streams[0] ?? '')).state.messages).toBe(20);
  await lanes.jsm.streams.update(lanes.streams[1] ?? '', { max_msgs: -1 });
  await expect.poll(asked, { timeout: 15_000 }).toEqual({ replayed: 61 });
  expect((await lanes.jsm.streams.info(lanes.streams[1] ?? '')).state.messages).toBe(102);
});

test('the stream of a lane that is no more, made anew, is adopted: its events have nowhere else to go', async () => {
  await using lanes = await openLanes(2, { 1: FULL });
  const [first = '', second = ''] = lanes.streams;
  {
    await using relay = await lanes.startRelay();
    await lanes.write(1, 60);
    await expect.poll(() => relay.relay.status().lanes[1]?.state, { timeout: 10_000 }).toBe('paused');
  }
  await lanes.jsm.streams.delete(second);
  await lanes.jsm.streams.add({ name: second, subjects: [`${second}.>`] });
  await using _relay = await lanes.startRelay([{ stream: first, subjects: [`${first}.>`] }]);
  const answer = await askLeader(lanes.pool, 'adopt', { stream: second });
  expect(answer).toMatchObject({ adopted: true });
  await expect
    .poll(async () => (await lanes.jsm.streams.info(second)).state.messages, { timeout: 15_000 })
    .toBeGreaterThanOrEqual(10);
});

test('a letter whose marker its stream never got can be decided on once the stream is gone', async () => {
  await using lanes = await openLanes(2);
  const [first = '', second = ''] = lanes.streams;
  {
    await using _relay = await lanes.startRelay();
    await lanes.write(1, 5);
    await lanes.untilStored(5);
  }
  await lanes.pool.query(
    `insert into postcommit.dead_letters (stream, position, event_id, subject, state, reason)
     select $1, position, event_id, subject, 'marking', 'refused' from postcommit.outbox where position = 5`,
    [second],
  );
  await lanes.pool.query(
    `update postcommit.batches set settled_to = 4 where stream = $1 and batch = (select max(batch) from postcommit.batches where stream = $1)`,
    [second],
  );
  await lanes.jsm.streams.delete(second);
  await lanes.jsm.streams.update(first, { subjects: [`${first}.>`, `${second}.>`] });
  await using _relay = await lanes.startRelay([{ stream: first, subjects: [`${first}.>`, `${second}.>`] }]);
  await expect.poll(() => letterStates(lanes.pool), { timeout: 10_000 }).toEqual([[5, 'parked']]);
  expect(await askLeader(lanes.pool, 'retry', { ids: [1] })).toMatchObject({ retried: 1 });
});

test('what a lane in key ordering has handed over is not handed over again, whatever it compares', async () => {
  await using nats = await startNats();
  await using lanes = await openLanes(2, { 1: FULL }, { natsUrl: nats.url });
  const [first = '', second = ''] = lanes.streams;
  const slow = { stream: second, ordering: 'key' as const };
  {
    await using relay = await lanes.startRelay([
      { stream: first, subjects: [`${first}.>`] },
      { ...slow, subjects: [`${second}.>`] },
    ]);
    await lanes.write(1, 51);
    await expect.poll(() => relay.relay.status().lanes[1]?.state, { timeout: 10_000 }).toBe('paused');
  }
  await lanes.moveSubjects(1, 0);
  await using relay = await lanes.startRelay([
    { stream: first, subjects: [`${first}.>`, `${second}.>`] },
    { ...slow, subjects: [`${second}_unused.>`] },
  ]);
  const inFirst = async () => (await lanes.jsm.streams.info(first)).state.messages;
  await expect.poll(inFirst, { timeout: 15_000 }).toBe(1);
  for (let i = 0; i < 2; i++) {
    await nats.restart();
    const back = () => relay.relay.status().lanes.every(({ state }) => state === 'publishing');
    await expect.poll(back, { timeout: 10_000 }).toBe(true);
    await lanes.write(0, 1);
    await expect.poll(() => inFirst().catch(() => 0), { timeout: 15_000 }).toBeGreaterThanOrEqual(2 + i);
    await sleep(1_500); // Longer than it takes to hand something over.
  }
  expect(await inFirst()).toBe(3);
});

test('leaders killed in the midst of a retry publish each dead letter once, and the request is finished', async () => {
  const events = 600;
  await using lanes = await openLanes(2);
  const [first = '', second = ''] = lanes.streams;
  {
    await using _relay = await lanes.startRelay([{ stream: first, subjects: [`${first}.>`] }]);
    // In turn: a hundred in a row that no lane takes would pause it.
    await lanes.pool.query(
      `insert into postcommit.outbox (subject, payload)
       select case i % 2 when 0 then $1 else $2 end, 'x' from generate_series(1, $3::int) i`,
      [`${first}.event`, `${second}.event`, 2 * events],
    );
    await expect.poll(async () => (await letterStates(lanes.pool)).length, { timeout: 15_000 }).toBe(events);
  }
  const { rows } = await lanes.pool.query(
    `insert into postcommit.requests (kind, detail) values ('retry', '{"outcome": "misrouted"}') returning id`,
  );
  const inSecond = async () => (await lanes.jsm.streams.info(second)).state.messages;
  for (const share of [0, 0.3, 0.9]) {
    await using relay = await lanes.startRelayProcess();
    await expect.poll(inSecond, { timeout: 15_000, interval: 1 }).toBeGreaterThanOrEqual(share * events);
    relay.kill('SIGKILL');
    await relay.exit;
  }
  await using _relay = await lanes.startRelay();
  const finished = async () =>
    (await lanes.pool.query('select finished_at from postcommit.requests where id = $1', [rows[0].id]))
      .rows[0].finished_at;
  await expect.poll(finished, { timeout: 15_000 }).not.toBeNull();
  const states = async () => new Set((await letterStates(lanes.pool)).map(([, state]) => state));
  await expect.poll(states, { timeout: 15_000 }).toEqual(new Set(['resolved']));
  expect(await inSecond()).toBe(events);
  expect(await faultsOfStreams(lanes)).toEqual([]);
});
