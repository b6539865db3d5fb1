import { expect, onTestFinished, test } from 'vitest';
import { lastRows } from '../../src/batch-log/recover.ts';
import { type Connections, createConnections } from '../../src/observe/connections.ts';
import { type EventPage, lookAtEvents } from '../../src/observe/events.ts';
import { backlogOf } from '../../src/observe/lanes.ts';
import { lookAtBroker, lookAtSystem } from '../../src/observe/system.ts';
import { lookAtTimeline, type Timeline } from '../../src/observe/timeline.ts';
import { openStage, type Stage } from '../guarantees/stage.ts';
import { untilLetters } from '../support/dead-letters.ts';
import { openLanes } from '../support/lanes.ts';
import { natsUrl, startNats, startPostgres } from '../support/services.ts';

const PATIENCE = { timeout: 20_000 };

function connectionsTo(databaseUrl: string, nats = natsUrl()): Connections {
  const connections = createConnections({
    databaseUrl: () => databaseUrl,
    natsSettings: () => ({ servers: nats.split(',') }),
  });
  onTestFinished(() => connections[Symbol.asyncDispose]());
  return connections;
}

async function backlog(connections: Connections, streams: readonly string[]) {
  return backlogOf(await lookAtSystem(connections, streams));
}

async function lookFor(connections: Connections) {
  const lanes = await connections.database(lastRows);
  if (lanes.kind !== 'seen') throw new Error(lanes.reason);
  const streams = lanes.value.map(({ stream }) => stream);
  return { connections, lanes: lanes.value, broker: await lookAtBroker(connections, streams) };
}

async function events(connections: Connections): Promise<EventPage['events']> {
  const page = await lookAtEvents(await lookFor(connections), { limit: 100 });
  if (page.kind !== 'seen') throw new Error(page.reason);
  return page.value.events;
}

async function timeline(connections: Connections, position: number): Promise<Timeline | undefined> {
  const found = await lookAtTimeline(await lookFor(connections), position);
  if (found.kind !== 'seen') throw new Error(found.reason);
  return found.value;
}

async function writeOne({ pool, stream }: Stage, payload = 'x'): Promise<void> {
  await pool.query(`select postcommit.enqueue($1, to_jsonb($2::text), key => 'k')`, [`${stream}.e`, payload]);
}

test('what a lane that is paused has still to take counts, however busy another one is', async () => {
  await using lanes = await openLanes(2, { 1: { max_msgs: 3, discard: 'new' as never } });
  await using _relay = await lanes.startRelay();
  const connections = connectionsTo(lanes.databaseUrl);
  await lanes.write(1, 200);
  await expect.poll(() => lanes.stored(), PATIENCE).toBe(3);
  for (let i = 0; i < 20; i++) await lanes.write(0, 50);
  await lanes.untilStored(1_003);
  await expect
    .poll(() => backlog(connections, lanes.streams), PATIENCE)
    .toMatchObject({
      events: 197,
      exact: true,
      oldestAgeMs: expect.any(Number),
    });
  await lanes.jsm.streams.update(lanes.streams[1] ?? '', { max_msgs: -1 });
  await lanes.untilStored(1_200);
  await expect
    .poll(() => backlog(connections, lanes.streams), PATIENCE)
    .toEqual({ events: 0, exact: true, oldestAgeMs: null });
});

test.each(['key', 'none'] as const)(
  '%s ordering: what is under way while NATS is down counts',
  async (ordering) => {
    await using nats = await startNats();
    await using stage = await openStage({ natsUrl: nats.url });
    await using _relay = await stage.startRelay({ lane: { ordering } });
    const connections = connectionsTo(stage.databaseUrl, nats.url);
    await stage.write(10);
    await expect
      .poll(() => backlog(connections, [stage.stream]), PATIENCE)
      .toEqual({ events: 0, exact: true, oldestAgeMs: null });
    nats.kill('SIGKILL');
    await stage.write(5);
    await expect.poll(() => backlog(connections, [stage.stream]), PATIENCE).toMatchObject({ events: 5 });
    await nats.start();
    await expect
      .poll(() => backlog(connections, [stage.stream]), { timeout: 60_000 })
      .toMatchObject({ events: 0 });
  },
);

test('rolled-back positions are none', async () => {
  await using stage = await openStage();
  await using _relay = await stage.startRelay();
  const connections = connectionsTo(stage.databaseUrl);
  await writeOne(stage);
  const client = await stage.pool.connect();
  await client.query('begin');
  await client.query(`select postcommit.enqueue($1, '1')`, [`${stage.stream}.e`]);
  await client.query('rollback');
  client.release();
  await stage.untilDrained();
  await expect
    .poll(() => backlog(connections, [stage.stream]), PATIENCE)
    .toEqual({ events: 0, exact: true, oldestAgeMs: null });
});

test('a dead letter whose slot a marker fills is set aside, and stored nowhere; what came behind it is stored', async () => {
  await using stage = await openStage({ config: { max_msg_size: 10_000 } });
  await using _relay = await stage.startRelay();
  const connections = connectionsTo(stage.databaseUrl);
  await writeOne(stage);
  await stage.untilDrained();
  await writeOne(stage, 'x'.repeat(20_000));
  await untilLetters(stage.pool, [[2, 'parked']]);
  await writeOne(stage);
  const states = async () => (await events(connections)).map(({ position, state }) => [position, state]);
  await expect.poll(states, PATIENCE).toEqual([
    [3, 'stored'],
    [2, 'set-aside'],
    [1, 'stored'],
  ]);
  expect((await timeline(connections, 2))?.stored).toEqual([]);
});

test.each(['stream', 'key'] as const)(
  '%s ordering: events are stored, and found where they lie',
  async (ordering) => {
    await using stage = await openStage();
    await using _relay = await stage.startRelay({ lane: { ordering } });
    const connections = connectionsTo(stage.databaseUrl);
    // Of others, on the same subjects, where there may be some.
    if (ordering === 'key')
      for (let i = 0; i < 30; i++) await stage.jsm.jetstream().publish(`${stage.stream}.e`, 'other');
    for (let i = 0; i < 5; i++) await writeOne(stage);
    const states = async () => new Set((await events(connections)).map(({ state }) => state));
    await expect.poll(states, PATIENCE).toEqual(new Set(['stored']));
    const found = await timeline(connections, 3);
    expect(found?.stored).toMatchObject([{ stream: stage.stream, sequence: ordering === 'key' ? 33 : 3 }]);
    expect(await timeline(connections, 99)).toBeUndefined();
  },
);

test('events of long ago are known as stored: the log is asked where they were read', async () => {
  await using stage = await openStage();
  await using _relay = await stage.startRelay();
  const connections = connectionsTo(stage.databaseUrl);
  await stage.write(3);
  await stage.untilDrained();
  // As if 5,000 looks had each brought something since.
  await stage.pool.query(
    `insert into postcommit.batches (stream, incarnation, batch, epoch, ordering, kind, first_sequence, last_sequence, settled_to,
                                     positions, read_to, open_from)
     select stream, incarnation, batch + i, epoch, ordering, 'new', last_sequence + 1, last_sequence, settled_to, '{}', read_to, open_from
       from (select * from postcommit.batches order by batch desc limit 1) b, generate_series(1, 5000) i`,
  );
  expect((await events(connections)).map(({ state }) => state)).toEqual(['stored', 'stored', 'stored']);
});

test('connections: unseen while the servers are down, seen again by themselves, closed for good', async () => {
  await using postgres = await startPostgres();
  await using nats = await startNats();
  const connections = connectionsTo(postgres.url, nats.url);
  const seen = async () => {
    const { database, broker } = await lookAtSystem(connections, []);
    return [database.kind, broker.kind];
  };
  const ask = () => connections.database((session) => session.query({ text: 'select 1' }));
  expect((await Promise.all([ask(), ask(), ask()])).map(({ kind }) => kind)).toEqual([
    'seen',
    'seen',
    'seen',
  ]);
  const open = `select count(*) from pg_stat_activity where application_name = 'postcommit console'`;
  expect(await connections.database((session) => session.query({ text: open }))).toEqual({
    kind: 'seen',
    value: [['1']],
  });
  await postgres.stop('immediate');
  nats.kill('SIGKILL');
  await expect.poll(seen, PATIENCE).toEqual(['unseen', 'unseen']);
  await postgres.start();
  await nats.start();
  await expect.poll(ask, PATIENCE).toMatchObject({ kind: 'seen' });
  await connections[Symbol.asyncDispose]();
  expect(await ask()).toMatchObject({ kind: 'unseen' });
});
