import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import { startTcpProxy } from '../../src/testing/index.ts';
import { askLeader, readLetters } from '../support/dead-letters.ts';
import { startNats } from '../support/services.ts';
import { readStream } from '../support/stream-history.ts';
import { openStage, type RunningRelay, type Stage } from './stage.ts';

let nats: EmbeddedNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

test('a stream made anew is adopted: what was not stored goes onto it, what was counts as published', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await stage.write(20);
  await stage.untilDrained();
  await recreate(stage);
  await stage.write(5);
  await untilReason(relay, 'postcommit adopt');
  expect(await askLeader(stage.pool, 'adopt', { stream: stage.stream })).toMatchObject({ adopted: true });
  await untilPositions(stage, [21, 22, 23, 24, 25]);
  await stage.write(5);
  await untilPositions(stage, [21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
  await relay.relay.stop();
  await using _next = await stage.startRelay();
  await stage.write(1);
  await untilPositions(stage, [21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31]);
});

test('with republish, everything that the outbox still holds goes onto it, in order and before what is new', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await stage.write(3_000);
  await stage.untilDrained();
  await recreate(stage);
  await stage.write(10);
  await untilReason(relay, '--republish');
  expect(await askLeader(stage.pool, 'adopt', { stream: stage.stream, mode: 'republish' })).toMatchObject({
    adopted: true,
    republished: 3_010, // With the ten that were planned for the old one.
  });
  await untilPositions(stage, countTo(3_010));
});

test.each(['continue', 'key'] as const)(
  'of rows planned before the first acknowledgement none counts as settled (%s)',
  async (goesOn) => {
    await using stage = await openStage({ natsUrl: nats.url });
    await using proxy = await startTcpProxy({ port: nats.port });
    {
      await using relay = await stage.startRelay({
        nats: () => ({ servers: [`nats://127.0.0.1:${proxy.port}`] }),
      });
      await relay.until('publishing');
      proxy.blackHole();
      for (const events of [200, 400]) {
        await stage.write(200);
        await expect.poll(async () => plannedBy(stage), { timeout: 5_000, interval: 5 }).toBe(events);
      }
      await relay.relay.stop({ graceMs: 0 });
    }
    if (goesOn === 'continue') await recreate(stage);
    await using relay = await stage.startRelay(goesOn === 'key' ? { lane: { ordering: 'key' } } : {});
    if (goesOn === 'continue') {
      await untilReason(relay, 'postcommit adopt');
      expect(await askLeader(stage.pool, 'adopt', { stream: stage.stream })).toMatchObject({ adopted: true });
    }
    await untilPositions(stage, countTo(400));
  },
);

test('a stream that was deleted is made anew when it is adopted', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await stage.write(10);
  await stage.untilDrained();
  await stage.jsm.streams.delete(stage.stream);
  await stage.write(2);
  await untilReason(relay, 'it was deleted');
  expect(await askLeader(stage.pool, 'adopt', { stream: stage.stream })).toMatchObject({ adopted: true });
  await untilPositions(stage, [11, 12]);
});

test.each(['stream', 'key'] as const)(
  'NATS restarted, the stream configured anew and NATS restarted again: the same stream, whatever its creation time (%s)',
  async (ordering) => {
    await using own = await startNats();
    await using stage = await openStage({ natsUrl: own.url });
    const created = async () => {
      await stage.lastSequence(); // Waits for the connection.
      return (await stage.jsm.streams.info(stage.stream)).created;
    };
    await using relay = await stage.startRelay({ lane: { ordering } });
    await stage.write(100);
    await untilPositions(stage, countTo(100));
    const before = await created();
    for (const bound of [1_000_000, 2_000_000]) {
      own.kill('SIGKILL');
      await own.start();
      await created();
      await stage.jsm.streams.update(stage.stream, { max_msgs: bound });
      await stage.write(1);
    }
    await relay.until('publishing');
    await untilPositions(stage, countTo(102));
    if (own.version.startsWith('2.9.')) expect(await created()).not.toBe(before);
    await recreate(stage);
    await stage.write(1);
    await untilReason(relay, 'postcommit adopt');
  },
);

test('relays killed in the midst of a republishing lose and double nothing', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  {
    await using _relay = await stage.startRelay();
    await stage.write(10_000);
    await stage.untilDrained();
  }
  await recreate(stage);
  let asked: Promise<unknown> | undefined;
  for (const share of [0.1, 0.4, 0.7]) {
    await using relay = await stage.startRelayProcess();
    await relay.line('role', ({ role }) => role === 'leader');
    asked ??= askLeader(stage.pool, 'adopt', { stream: stage.stream, mode: 'republish' });
    await expect.poll(stage.lastSequence, { timeout: 20_000, interval: 1 }).toBeGreaterThan(10_000 * share);
    relay.kill('SIGKILL');
    await relay.exit;
  }
  await using _relay = await stage.startRelay();
  await untilPositions(stage, countTo(10_000));
  await asked;
});

test('a lane that publishes has nothing to adopt, and a stream without a lane is unknown', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  expect(await askLeader(stage.pool, 'adopt', { stream: stage.stream })).toMatchObject({ adopted: false });
  expect(await askLeader(stage.pool, 'adopt', { stream: 'other' })).toMatchObject({
    error: expect.stringContaining("no lane has the stream 'other'"),
  });
  expect(await askLeader(stage.pool, 'adopt', { strem: 'typo' })).toMatchObject({
    error: expect.stringContaining('stream'),
  });
});

test.each([
  ['a whole stream by its name alone', {}, 'say which events'],
  ['a year that PostgreSQL does not have', { since: '0000-01-01T00:00:00Z' }, 'the year must be'],
  ['more sequences than fit', { fromSequence: 1, toSequence: 3_000_000 }, 'set fromSequence and toSequence'],
])('a request that asks for %s is answered, and nobody loses the lead over it', async (_, wish, words) => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await stage.write(5);
  await stage.untilDrained();
  // As if there were so many: what counts is how far the plans reach.
  await stage.pool.query(
    'update postcommit.batches set last_sequence = first_sequence + 2999999 where stream = $1',
    [stage.stream],
  );
  const answer = await askLeader(stage.pool, 'replay', { stream: stage.stream, ...wish });
  expect(answer.error).toContain(words);
  expect(relay.relay.status().epoch).toBe(1);
});

test('a request that no leader can serve ends one leadership, not all of them', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await stage.write(5);
  await stage.untilDrained();
  await stage.pool.query(`
    insert into postcommit.dead_letters (stream, position, event_id, subject, reason)
      select '${stage.stream}', position, event_id, subject, 'refused' from postcommit.outbox where position = 5;
    create function postcommit.forbid() returns trigger language plpgsql
      as $$ begin raise exception 'nothing is discarded here'; end $$;
    create trigger forbid before update on postcommit.dead_letters
      for each row when (new.state = 'discarded') execute function postcommit.forbid();`);
  const answer = await askLeader(stage.pool, 'discard', { ids: [1] });
  expect(answer.error).toMatch(/given up: .*nothing is discarded here/);
  await expect.poll(() => relay.relay.status().epoch, { timeout: 10_000 }).toBe(2);
  await relay.until('publishing');
  await stage.write(1);
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(6);
});

test('a replay is a copy with a message id of its own; the event id stays', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using _relay = await stage.startRelay();
  await stage.write(1_200);
  await stage.untilDrained();
  const replayed = await askLeader(stage.pool, 'replay', { fromPosition: 100, toPosition: 1_100 });
  expect(replayed).toEqual({ replayed: 1_001 });
  await untilPositions(stage, [...countTo(1_200), ...countTo(1_100).slice(99)]);
  expect(
    await askLeader(stage.pool, 'replay', { stream: stage.stream, fromSequence: 5, toSequence: 7 }),
  ).toEqual({
    replayed: 3,
  });
  await untilPositions(stage, [...countTo(1_200), ...countTo(1_100).slice(99), 5, 6, 7]);
  expect(await askLeader(stage.pool, 'replay', { subject: 'nothing.>' })).toEqual({ replayed: 0 });
  expect(await stage.faults()).toEqual([]);
  const messages = await readStream(stage.jsm, stage.stream);
  expect(messages.at(-1)?.eventId).toBe(messages[6]?.eventId);
  expect(await readLetters(stage.pool)).toEqual([]);
});

test('a replay goes on behind leaders that are killed, and repeats a portion for each of them at most', async () => {
  const [events, kills, portion] = [20_000, 3, 500];
  await using stage = await openStage({ natsUrl: nats.url });
  {
    await using _relay = await stage.startRelay();
    await stage.write(events);
    await stage.untilDrained();
  }
  const { rows } = await stage.pool.query(
    `insert into postcommit.requests (kind, detail) values ('replay', '{"fromPosition": 1}') returning id`,
  );
  const isServed = async () =>
    (await stage.pool.query('select finished_at from postcommit.requests where id = $1', [rows[0].id]))
      .rows[0].finished_at !== null;
  for (let kill = 1; kill <= kills; kill++) {
    await using relay = await stage.startRelayProcess();
    await relay.line('ready');
    await expect
      .poll(stage.lastSequence, { timeout: 20_000, interval: 1 })
      .toBeGreaterThan(events + kill * 2_000);
    relay.kill('SIGKILL');
    await relay.exit;
    expect(await isServed()).toBe(false);
  }
  await using _relay = await stage.startRelay();
  await expect.poll(isServed, { timeout: 20_000 }).toBe(true);
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  const copies = (await stage.messages()).slice(events).map(({ position }) => position);
  expect(new Set(copies).size).toBe(events);
  expect(copies.length).toBeLessThanOrEqual(events + kills * portion);
});

test('dead letters are discarded and retried by whoever leads, once, though leaders are killed over it', async () => {
  const letters = 200;
  await using stage = await openStage({ natsUrl: nats.url, config: { max_msg_size: 5_000 } });
  // Every second is too large: as many in a row would pause the lane.
  await stage.pool.query(
    `insert into postcommit.outbox (subject, payload)
     select $1, convert_to(repeat('x', case when i % 2 = 0 then 10000 else 10 end), 'UTF8')
       from generate_series(1, $2::int) i`,
    [stage.subject, 2 * letters],
  );
  {
    await using relay = await stage.startRelay();
    await expect.poll(async () => (await readLetters(stage.pool)).length, { timeout: 20_000 }).toBe(letters);
    await relay.relay.stop();
  }
  await stage.jsm.streams.update(stage.stream, { max_msg_size: -1 });
  const ids = (await readLetters(stage.pool)).map(({ id }) => id);
  const ask = async (kind: string, own: readonly number[]) =>
    stage.pool.query('insert into postcommit.requests (kind, detail) values ($1, $2)', [kind, { ids: own }]);
  for (let i = 0; i < letters; i += 10) {
    await ask('discard', ids.slice(i, i + 5));
    await ask('retry', ids.slice(i + 5, i + 10));
  }
  const open = async () =>
    (await stage.pool.query('select count(*)::int as n from postcommit.requests where finished_at is null'))
      .rows[0].n;
  for (let kill = 1; kill <= 3; kill++) {
    await using relay = await stage.startRelayProcess();
    await relay.line('ready');
    await expect.poll(open, { timeout: 20_000, interval: 1 }).toBeLessThan((letters / 5) * (1 - kill / 5));
    relay.kill('SIGKILL');
    await relay.exit;
  }
  await using _relay = await stage.startRelay();
  await expect.poll(open, { timeout: 20_000 }).toBe(0);
  await stage.untilDrained();
  const states = async () => (await readLetters(stage.pool)).map(({ state }) => state);
  await expect.poll(states, { timeout: 10_000 }).not.toContain('retrying');
  expect(await states()).toEqual(
    Array.from({ length: letters }, (_, i) => (i % 10 < 5 ? 'discarded' : 'resolved')),
  );
  const stored = (await stage.messages()).filter(
    ({ skipped, position }) => skipped === '' && position % 2 === 0,
  );
  expect(stored.map(({ position }) => position / 2 - 1).sort((a, b) => a - b)).toEqual(
    ids.map((_, i) => i).filter((i) => i % 10 >= 5),
  );
});

async function plannedBy(stage: Stage): Promise<number> {
  const rows = await stage.log();
  return rows.reduce((sum, { positions }) => sum + positions.length, 0);
}

async function recreate({ jsm, stream }: Stage): Promise<void> {
  await jsm.streams.delete(stream);
  await jsm.streams.add({ name: stream, subjects: [`${stream}.>`] });
}

async function untilReason({ relay }: RunningRelay, words: string): Promise<void> {
  await expect.poll(() => relay.status().lanes[0]?.reason, { timeout: 15_000 }).toContain(words);
}

async function untilPositions(stage: Stage, positions: readonly number[]): Promise<void> {
  const count = async () => (await stage.jsm.streams.info(stage.stream)).state.messages;
  await expect.poll(count, { timeout: 20_000, interval: 20 }).toBeGreaterThanOrEqual(positions.length);
  const messages = await readStream(stage.jsm, stage.stream);
  expect(messages.map(({ position }) => position)).toEqual(positions);
}

function countTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}
