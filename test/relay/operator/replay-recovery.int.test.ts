import { headers as natsHeaders } from '@nats-io/nats-core';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { LaneOptions } from '../../../src/relay/index.ts';
import type { Stage } from '../../guarantees/stage.ts';
import { askLeader, readLetters } from '../../support/dead-letters.ts';
import { openLanes } from '../../support/lanes.ts';
import { type NatsWithStore, startNatsWithStore } from '../../support/nats-with-store.ts';
import { startRelayProcess } from '../../support/relay-process.ts';
import {
  askForReplay,
  isCopy,
  openReplayStage,
  PREFIX,
  planCopies,
  requestRow,
  untilFinished,
} from '../../support/replays.ts';
import { startNats } from '../../support/services.ts';
import { readStream } from '../../support/stream-history.ts';

const PORTION = 500;
const ORDERINGS = ['stream', 'key', 'none'] as const;

let nats: NatsWithStore;
beforeAll(async () => {
  nats = await startNatsWithStore(startNats);
});
beforeEach(() => nats.start());
afterAll(() => nats[Symbol.asyncDispose]());

const startAsProcess = ({ databaseUrl, natsUrl }: Stage, lane: LaneOptions) =>
  startRelayProcess({ databaseUrl, natsUrl, lanes: [lane] });

async function writeKeyed(stage: Stage, count: number): Promise<void> {
  await stage.pool.query(
    `insert into postcommit.outbox (subject, key, payload)
     select $1, 'key-' || i % 20, convert_to('event ' || i, 'UTF8') from generate_series(1, $2::int) i`,
    [stage.subject, count],
  );
}

/** How often each event is in the stream under its own subject, and under the prefix. Other subjects fail. */
async function countsOf(stage: Stage): Promise<{ own: number[]; copies: number[] }> {
  const messages = (await stage.messages()).filter(({ skipped }) => skipped === '');
  const counts = { own: [] as number[], copies: [] as number[] };
  for (const message of messages) {
    const subject = isCopy(message) ? `${PREFIX}.${stage.subject}` : stage.subject;
    expect(message.subject).toBe(subject);
    const kind = isCopy(message) ? counts.copies : counts.own;
    kind[message.position - 1] = (kind[message.position - 1] ?? 0) + 1;
  }
  return counts;
}

/** As a leader of before has sent it, but without a message id. */
async function publishCopy(stage: Stage, position: number): Promise<void> {
  const [known] = await stage.messages();
  const { rows } = await stage.pool.query(
    'select event_id, subject, payload from postcommit.outbox where position = $1',
    [position],
  );
  const headers = natsHeaders();
  headers.set('Postcommit-Source', known?.source ?? '');
  headers.set('Postcommit-Position', String(position));
  headers.set('Postcommit-Event-Id', rows[0].event_id);
  await stage.jsm.jetstream().publish(`${PREFIX}.${rows[0].subject}`, rows[0].payload, { headers });
}

const once = (count: number) => Array.from({ length: count }, () => 1);
/** With holes for those that have no copy. */
const onceEach = (positions: readonly number[]) => {
  const counts: number[] = [];
  for (const position of positions) counts[position - 1] = 1;
  return counts;
};

test.each(ORDERINGS)(
  'leaders killed in the midst of a replay under a prefix repeat a portion each at most, and publish nothing under another subject (%s)',
  async (ordering) => {
    const [events, kills] = [8_000, 3];
    await using stage = await openReplayStage({ natsUrl: nats.url });
    const lane = { ...stage.lane, ordering };
    {
      await using relay = await stage.startRelay({ lane });
      await writeKeyed(stage, events);
      await expect.poll(stage.lastSequence, { timeout: 20_000 }).toBe(events);
      await relay.relay.stop();
    }
    const id = await askForReplay(stage.pool, { fromPosition: 1, subjectPrefix: PREFIX });
    for (let kill = 1; kill <= kills; kill++) {
      await using relay = await startAsProcess(stage, lane);
      await relay.line('ready');
      await expect
        .poll(stage.lastSequence, { timeout: 20_000, interval: 1 })
        .toBeGreaterThan(events + kill * 1_500);
      relay.kill('SIGKILL');
      await relay.exit;
      expect((await requestRow(stage.pool, id)).finished).toBe(false);
    }
    await using relay = await stage.startRelay({ lane });
    await untilFinished(stage.pool, id);
    await expect.poll(() => relay.relay.status().lanes[0]?.pending, { timeout: 10_000 }).toBe(0);
    const { own, copies } = await countsOf(stage);
    expect(own).toEqual(once(events));
    expect(Math.min(...copies)).toBe(1);
    expect(copies.length).toBe(events);
    expect(copies.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(events + kills * PORTION);
    if (ordering === 'stream') expect(await stage.faults()).toEqual([]);
  },
);

test.each(ORDERINGS)(
  'copies that a leader planned and never sent are sent by the next one, as they were planned (%s)',
  async (ordering) => {
    await using stage = await openReplayStage({ natsUrl: nats.url });
    const lane = { ...stage.lane, ordering };
    {
      await using relay = await stage.startRelay({ lane });
      await writeKeyed(stage, 50);
      await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(50);
      await relay.relay.stop();
    }
    const planned = { stream: stage.stream, prefix: PREFIX };
    await planCopies(stage.pool, { ...planned, positions: [3, 4, 9] });
    await planCopies(stage.pool, { ...planned, positions: [9, 10], prefix: `${PREFIX}.${stage.stream}` });
    await using _relay = await stage.startRelay({ lane });
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(55);
    const sent = (await stage.messages()).slice(50).map(({ position, subject }) => `${position} ${subject}`);
    const wanted = [
      ...[3, 4, 9].map((position) => `${position} ${PREFIX}.${stage.subject}`),
      ...[9, 10].map((position) => `${position} ${PREFIX}.${stage.stream}.${stage.subject}`),
    ];
    // Elsewhere keys go side by side.
    if (ordering === 'stream') expect(sent).toEqual(wanted);
    else expect(sent.sort()).toEqual(wanted.sort());
    await stage.write(1);
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(56);
    if (ordering === 'stream') expect(await stage.faults()).toEqual([]);
  },
);

test.each(ORDERINGS)(
  'what of such copies is in the stream already is not sent again (%s)',
  async (ordering) => {
    await using stage = await openReplayStage({ natsUrl: nats.url });
    const lane = { ...stage.lane, ordering };
    {
      await using relay = await stage.startRelay({ lane });
      await writeKeyed(stage, 10);
      await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(10);
      await relay.relay.stop();
    }
    await planCopies(stage.pool, { stream: stage.stream, positions: [3, 4, 9], prefix: PREFIX });
    // Without a message id: nothing but what lies in the stream can tell.
    await publishCopy(stage, 3);
    await using relay = await stage.startRelay({ lane });
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(13);
    await stage.write(1);
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(14);
    expect(await countsOf(stage)).toEqual({ own: once(11), copies: onceEach([3, 4, 9]) });
    expect(await relay.count('duplicateAcks')).toBe(0);
  },
);

test('an event whose own subject begins with the prefix is not taken for its copy, nor the copy for it', async () => {
  await using stage = await openReplayStage({ natsUrl: nats.url });
  const subjects = [...stage.lane.subjects, `${PREFIX}.${PREFIX}.${stage.stream}.>`];
  await stage.jsm.streams.update(stage.stream, { subjects });
  const lane = { stream: stage.stream, subjects, ordering: 'key' as const };
  const subject = `${PREFIX}.${stage.stream}.event`;
  {
    await using relay = await stage.startRelay({ lane });
    await stage.write(2, { subject });
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(2);
    await relay.relay.stop();
  }
  await planCopies(stage.pool, { stream: stage.stream, positions: [1], prefix: PREFIX });
  // As if nothing were known of what is stored: event and copy are both in doubt.
  await stage.pool.query('update postcommit.batches set settled_batch = null, settled_to = null');
  await using _relay = await stage.startRelay({ lane });
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(3);
  expect((await stage.messages()).map((message) => message.subject)).toEqual([
    subject,
    subject,
    `${PREFIX}.${subject}`,
  ]);
});

test.each(ORDERINGS)(
  'a lost tail with events and copies of them is healed under the subjects of both (%s)',
  async (ordering) => {
    await using stage = await openReplayStage({ natsUrl: nats.url });
    await using relay = await stage.startRelay({ lane: { ...stage.lane, ordering } });
    await writeKeyed(stage, 20);
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(20);
    await nats.keepStore();
    await relay.until('publishing');
    await writeKeyed(stage, 40);
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(60);
    await askLeader(stage.pool, 'replay', { fromPosition: 11, toPosition: 50, subjectPrefix: PREFIX });
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(100);
    await nats.restoreStore();
    await expect.poll(stage.lastSequence, { timeout: 20_000 }).toBe(100);
    const { own, copies } = await countsOf(stage);
    expect(own).toEqual(once(60));
    expect(copies).toEqual(onceEach(Array.from({ length: 40 }, (_, i) => 11 + i)));
    if (ordering === 'stream') expect(await stage.faults()).toEqual([]);
    // The server has forgotten nothing of it when it is looked into once more.
    await nats.restart();
    await relay.until('publishing');
    await writeKeyed(stage, 1);
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(101);
  },
);

test.each([
  ['stream', 'republish', [1, 2, 3, 4, 5, 6], [2, 3, 6]],
  ['key', 'republish', [1, 2, 3, 4, 5, 6], [2, 3, 6]],
  ['stream', 'continue', [], [6]],
  ['key', 'continue', [], [6]],
] as const)(
  'onto a stream made anew go events and copies, each under its subject (%s, %s)',
  async (ordering, mode, own, copies) => {
    await using stage = await openReplayStage({ natsUrl: nats.url });
    const lane = { ...stage.lane, ordering };
    {
      await using relay = await stage.startRelay({ lane });
      await writeKeyed(stage, 6);
      await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(6);
      await askLeader(stage.pool, 'replay', { fromPosition: 2, toPosition: 3, subjectPrefix: PREFIX });
      await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(8);
      await relay.relay.stop();
    }
    await planCopies(stage.pool, { stream: stage.stream, positions: [6], prefix: PREFIX });
    await stage.pool.query(
      `update postcommit.batches set settled_to = 8 where stream = $1 and ordering = 'stream' and subject_prefix is not null`,
      [stage.stream],
    );
    await stage.jsm.streams.delete(stage.stream);
    await stage.jsm.streams.add({ name: stage.stream, subjects: [...stage.lane.subjects] });
    await using _relay = await stage.startRelay({ lane });
    const answer = await askLeader(stage.pool, 'adopt', { stream: stage.stream, mode });
    expect(answer).toMatchObject({ adopted: true, republished: own.length + copies.length });
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(own.length + copies.length);
    const counts = await countsOf(stage);
    expect(counts).toEqual({ own: onceEach(own), copies: onceEach(copies) });
  },
);

test('a lane that goes into stream ordering takes copies that it had planned along', async () => {
  await using stage = await openReplayStage({ natsUrl: nats.url });
  {
    await using relay = await stage.startRelay({ lane: { ...stage.lane, ordering: 'key' } });
    await writeKeyed(stage, 10);
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(10);
    await relay.relay.stop();
  }
  await planCopies(stage.pool, { stream: stage.stream, positions: [1, 2, 7], prefix: PREFIX });
  await using _relay = await stage.startRelay({ lane: stage.lane });
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(13);
  expect(await countsOf(stage)).toEqual({ own: once(10), copies: onceEach([1, 2, 7]) });
  await stage.write(1);
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(14);
  const kinds = (await stage.log()).map(({ kind, prefix }) => [kind, prefix]);
  expect(kinds).toContainEqual(['replay', PREFIX]);
});

test.each(ORDERINGS)(
  'copies whose subjects the stream takes no more are given up and said so; events go on (%s)',
  async (ordering) => {
    await using stage = await openReplayStage({ natsUrl: nats.url });
    {
      await using relay = await stage.startRelay({ lane: { ...stage.lane, ordering } });
      await writeKeyed(stage, 10);
      await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(10);
      await relay.relay.stop();
    }
    await planCopies(stage.pool, { stream: stage.stream, positions: [1, 2, 7], prefix: PREFIX });
    await stage.jsm.streams.update(stage.stream, { subjects: [`${stage.stream}.>`] });
    await using relay = await stage.startRelay({ lane: { ordering } });
    await writeKeyed(stage, 1);
    await expect.poll(async () => (await countsOf(stage)).own, { timeout: 10_000 }).toEqual(once(11));
    expect((await countsOf(stage)).copies).toEqual([]);
    expect(relay.lines.filter(({ event }) => event === 'copies-dropped')).toMatchObject([
      { copies: 3, position: 1, stream: stage.stream },
    ]);
    expect(await readLetters(stage.pool)).toEqual([]);
    if (ordering === 'stream') expect(await stage.faults()).toEqual([]);
  },
);

test('of a stream that is gone and no lane any more, events go elsewhere and copies nowhere', async () => {
  await using lanes = await openLanes(2, {}, { natsUrl: nats.url });
  const [first = '', second = ''] = lanes.streams;
  {
    await using relay = await lanes.startRelay();
    await lanes.write(0, 3);
    await lanes.untilStored(3);
    await relay.relay.stop();
  }
  await planCopies(lanes.pool, { stream: first, positions: [2, 3], prefix: PREFIX });
  // As if no answer of the stream had come before the log was written for the last time.
  await lanes.pool.query('update postcommit.batches set settled_to = null where stream = $1', [first]);
  await lanes.jsm.streams.delete(first);
  await lanes.jsm.streams.update(second, { subjects: [`${first}.>`, `${second}.>`] });
  await using relay = await lanes.startRelay([{ stream: second, subjects: [`${first}.>`, `${second}.>`] }]);
  await expect
    .poll(() => relay.lines.filter(({ event }) => event === 'copies-dropped'), { timeout: 10_000 })
    .toMatchObject([{ copies: 2, stream: first }]);
  await lanes.write(1, 1);
  await expect
    .poll(async () => (await lanes.jsm.streams.info(second)).state.messages, { timeout: 10_000 })
    .toBe(4);
  const moved = await readStream(lanes.jsm, second);
  expect(moved.map(({ position, subject }) => `${position} ${subject}`).sort()).toEqual([
    ...[1, 2, 3].map((position) => `${position} ${first}.event`),
    `4 ${second}.event`,
  ]);
});

test('a copy that the log has forgotten (a failover) is not taken for its event, which is published', async () => {
  await using stage = await openReplayStage({ natsUrl: nats.url });
  {
    await using relay = await stage.startRelay({ lane: stage.lane });
    await writeKeyed(stage, 3);
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(3);
    await relay.relay.stop();
  }
  await writeKeyed(stage, 1);
  await publishCopy(stage, 4);
  await using _relay = await stage.startRelay({ lane: stage.lane });
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(5);
  expect(await countsOf(stage)).toEqual({ own: once(4), copies: onceEach([4]) });
});

test('an event that is refused while a copy of it is under way becomes a dead letter all the same', async () => {
  await using stage = await openReplayStage({ natsUrl: nats.url });
  {
    await using relay = await stage.startRelay({ lane: stage.lane });
    await writeKeyed(stage, 2);
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(2);
    await relay.relay.stop();
  }
  // A letter of an event whose copy a dead leader has planned: it must not be called stored when the copy is.
  await stage.pool.query(
    `insert into postcommit.dead_letters (stream, position, event_id, subject, reason)
     select $1, position, event_id, subject, 'refused' from postcommit.outbox where position = 2`,
    [stage.stream],
  );
  await planCopies(stage.pool, { stream: stage.stream, positions: [1, 2], prefix: PREFIX });
  await using _relay = await stage.startRelay({ lane: stage.lane });
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(4);
  await writeKeyed(stage, 1);
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(5);
  expect(await readLetters(stage.pool)).toMatchObject([{ position: 2, state: 'parked' }]);
});
