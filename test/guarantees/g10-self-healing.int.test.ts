import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { sleep } from '../../src/lifecycle/abort.ts';
import { askLeader, untilLetters } from '../support/dead-letters.ts';
import { type NatsWithStore, startNatsWithStore } from '../support/nats-with-store.ts';
import { startNats } from '../support/services.ts';
import { readStream } from '../support/stream-history.ts';
import { openStage, type RunningRelay, type Stage } from './stage.ts';

let nats: NatsWithStore;

beforeAll(async () => {
  nats = await startNatsWithStore(startNats);
});
beforeEach(() => nats.start());
afterAll(() => nats[Symbol.asyncDispose]());

test('acknowledged events that the broker lost are published again, in order and counted', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await writeAndDrain(stage, 50);
  await nats.keepStore();
  await writeAndDrain(stage, 30);
  await writeAndDrain(stage, 20);
  await nats.restoreStore();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect(await positionsIn(stage)).toEqual(countTo(100));
  expect(await relay.count('healedEvents')).toBe(50);
  expect(relay.lines.filter(({ event }) => event === 'stream-rewound')).toMatchObject([{ lost: 50 }]);
  await writeAndDrain(stage, 10);
  expect(await stage.faults()).toEqual([]);
});

test('comparing again and again counts nothing twice', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await writeAndDrain(stage, 100);
  await stage.jsm.jetstream().publish(stage.subject, 'foreign');
  await stage.write(1);
  await expect.poll(stage.faults, { timeout: 10_000 }).toEqual([]);
  await stage.jsm.jetstream().publish(stage.subject, 'foreign');
  for (let i = 0; i < 3; i++) {
    const before = await relay.count('reconciliations');
    await nats.restart();
    await expect.poll(() => relay.count('reconciliations'), { timeout: 10_000 }).toBeGreaterThan(before);
    await relay.until('publishing');
    expect(await stage.lastSequence()).toBe(103);
  }
  expect(await relay.count('foreignMessages')).toBe(2);
  expect(await relay.count('disorderedEvents')).toBe(1);
  expect(await published(relay)).toBe(101);
});

test('a lost tail is published again while writers go on, by a relay started later', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  {
    await using relay = await stage.startRelay();
    await relay.until('publishing');
    await writeAndDrain(stage, 2_500);
    await nats.keepStore();
    await relay.until('publishing');
    for (let i = 0; i < 4; i++) await writeAndDrain(stage, 1_000);
    await relay.relay.stop();
  }
  await nats.restoreStore();
  await using writers = stage.startWriters();
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  await stage.untilPublishing({ events: 100, share: 0.5 });
  await writers.stop();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  // What the last batch row does not know to be acknowledged is published again without being called healed.
  expect(await relay.count('healedEvents')).toBeGreaterThanOrEqual(3_000);
});

test('a lost tail that another writer has refilled is noticed', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await writeAndDrain(stage, 50);
  await nats.keepStore();
  await writeAndDrain(stage, 2);
  await writeAndDrain(stage, 3);
  await relay.relay.stop();
  await nats.restoreStore();
  expect(await stage.lastSequence()).toBe(50);
  for (let i = 0; i < 5; i++) await stage.jsm.jetstream().publish(stage.subject, 'foreign');
  await using next = await stage.startRelay();
  await next.until('publishing');
  await stage.write(5);
  await expect.poll(stage.faults, { timeout: 10_000 }).toEqual([]);
  expect(await next.count('foreignMessages')).toBe(5);
});

test('where another writer`s messages were among the lost, markers fill their slots', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await writeAndDrain(stage, 50);
  await nats.keepStore();
  await relay.until('publishing');
  expect(await stage.lastSequence()).toBe(50); // The test's own connection is back as well.
  await stage.jsm.jetstream().publish(stage.subject, 'foreign');
  await stage.write(20);
  await expect.poll(stage.faults, { timeout: 10_000 }).toEqual([]);
  await stage.jsm.jetstream().publish(stage.subject, 'foreign');
  await stage.write(20);
  await expect.poll(stage.faults, { timeout: 10_000 }).toEqual([]);
  const before = await stage.lastSequence();
  await nats.restoreStore();
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(before);
  await stage.write(5);
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  const markers = (await readStream(stage.jsm, stage.stream)).filter(({ skipped }) => skipped !== '');
  expect(markers.length).toBeGreaterThan(0);
  expect(await relay.count('healedEvents')).toBe(40);
});

test('a tail that was lost down into what others wrote before the first plan is healed', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await stage.jsm.streams.add({ name: stage.stream, subjects: [`${stage.stream}.>`] });
  await stage.jsm.jetstream().publish(stage.subject, 'history');
  await nats.keepStore();
  expect(await stage.lastSequence()).toBe(1); // The test's own connection is back as well.
  for (let i = 0; i < 2; i++) await stage.jsm.jetstream().publish(stage.subject, 'history');
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  await stage.write(5);
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(8);
  await nats.restoreStore();
  await expect.poll(stage.lastSequence, { timeout: 15_000 }).toBe(8);
  expect((await positionsIn(stage)).slice(-5)).toEqual(countTo(5));
  expect(relay.lines.filter(({ event }) => event === 'term-failed')).toEqual([]);
});

test('a marker among the lost comes back as a marker, and its event stays a dead letter until it is retried', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  await writeAndDrain(stage, 10);
  await nats.keepStore();
  await relay.until('publishing');
  expect(await stage.lastSequence()).toBe(10); // The test's own connection is back as well.
  await stage.jsm.streams.update(stage.stream, { max_msg_size: 10_000 });
  await stage.write(1, { payload: 'x'.repeat(20_000) });
  await writeAndDrain(stage, 10);
  await untilLetters(stage.pool, [[11, 'parked']]);
  await nats.restoreStore(); // Also of the limit: the event would fit again.
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  await askLeader(stage.pool, 'retry');
  await untilLetters(stage.pool, [[11, 'resolved']]);
  expect(await stage.faults()).toEqual([]);
  expect((await positionsIn(stage)).at(-1)).toBe(11);
});

test('in key ordering, too, what the stream lost is published again', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay({ lane: { ordering: 'key' } });
  await stage.write(50);
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(50);
  await nats.keepStore();
  await relay.until('publishing');
  expect(await stage.lastSequence()).toBe(50);
  for (let i = 0; i < 5; i++) {
    await stage.write(10);
    await stage.jsm.jetstream().publish(stage.subject, 'foreign');
  }
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(105);
  // What it has not heard of is missing, not lost.
  await expect.poll(() => relay.relay.status().lanes[0]?.pending, { timeout: 10_000 }).toBe(0);
  await nats.restoreStore();
  await expect
    .poll(async () => [...new Set(await positionsIn(stage))].sort((a, b) => a - b), { timeout: 10_000 })
    .toEqual(countTo(100));
  expect(await positionsIn(stage)).toHaveLength(100);
  expect(await relay.count('healedEvents')).toBeGreaterThan(0);
});

test('in key ordering, what was stored anew below its old place is found there by every later look', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  {
    await using relay = await stage.startRelay({ lane: { ordering: 'key' } });
    await stage.write(50);
    await untilMessages(stage, 50);
    await nats.keepStore();
    await stage.lastSequence();
    // Others' messages are lost as well, so that what was planned behind them lies lower than before.
    for (let i = 0; i < 40; i++) await stage.jsm.jetstream().publish(stage.subject, 'foreign');
    await stage.write(1); // By its answer the relay learns of them.
    await untilMessages(stage, 91);
    await stage.write(50);
    await untilMessages(stage, 141);
    await nats.restoreStore();
    await untilMessages(stage, 101);
    for (let i = 0; i < 2; i++) {
      const before = await relay.count('reconciliations');
      await nats.restart();
      await expect.poll(() => relay.count('reconciliations'), { timeout: 10_000 }).toBeGreaterThan(before);
      await relay.until('publishing');
    }
  }
  await using _next = await stage.startRelay({ lane: { ordering: 'key' } });
  await stage.write(1);
  await untilMessages(stage, 102);
  expect((await positionsIn(stage)).sort((a, b) => a - b)).toEqual(countTo(102));
});

test('a stream deleted and made anew stops the lane, which says why and does not spin', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await writeAndDrain(stage, 10);
  await stage.jsm.streams.delete(stage.stream);
  await stage.write(3);
  await expect.poll(() => reasonOf(relay), { timeout: 10_000 }).toContain('it was deleted');
  await stage.jsm.streams.add({ name: stage.stream, subjects: [`${stage.stream}.>`] });
  await expect.poll(() => reasonOf(relay), { timeout: 10_000 }).toContain('not the one planned for');
  const publishes = await stage.countPublishes();
  let lookUps = 0;
  stage.connection.subscribe(`$JS.API.STREAM.INFO.${stage.stream}`, { callback: () => void lookUps++ });
  const before = relay.lines.length;
  await sleep(2_000); // Long enough to see a spin.
  expect(lookUps).toBeLessThanOrEqual(10);
  expect(relay.lines.length - before).toBeLessThanOrEqual(4);
  expect(await publishes()).toBe(0);
  expect(relay.relay.status().role).toBe('leader');
  expect(await stage.lastSequence()).toBe(0);
});

test('a purge makes nothing be published again', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  const publishes = await stage.countPublishes();
  await using writers = stage.startWriters();
  {
    await using relay = await stage.startRelay();
    await stage.untilPublishing({ events: 500, share: 0.5 });
    await stage.jsm.streams.purge(stage.stream);
    await stage.untilPublishing({ events: 500, share: 0.5 });
    await relay.relay.stop();
  }
  await stage.jsm.streams.purge(stage.stream);
  await using relay = await stage.startRelay();
  await stage.untilPublishing({ events: 500, share: 0.5 });
  await writers.stop();
  await stage.untilDrained();
  const { rows } = await stage.pool.query('select count(*)::int from postcommit.outbox');
  expect(await stage.lastSequence()).toBe(rows[0].count);
  expect(await publishes()).toBe(rows[0].count);
  expect((await stage.faults()).filter((fault) => !fault.startsWith('lost'))).toEqual([]);
  expect(await relay.count('healedEvents')).toBe(0);
});

async function writeAndDrain(stage: Stage, events: number): Promise<void> {
  await stage.write(events);
  await stage.untilDrained();
}

async function untilMessages(stage: Stage, count: number): Promise<void> {
  const messages = async () => {
    await stage.lastSequence(); // Until the server answers.
    return (await stage.jsm.streams.info(stage.stream)).state.messages;
  };
  await expect.poll(messages, { timeout: 15_000, interval: 20 }).toBe(count);
}

/** As counted, once the count has been handed over. */
async function published(relay: RunningRelay): Promise<number> {
  let count = -1;
  let before = -2;
  await expect
    .poll(
      async () => {
        [before, count] = [count, await relay.count('publishedEvents')];
        return count === before;
      },
      { timeout: 10_000, interval: 1_100 },
    )
    .toBe(true);
  return count;
}

async function positionsIn(stage: Stage): Promise<number[]> {
  return (await readStream(stage.jsm, stage.stream)).map(({ position }) => position);
}

function countTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

function reasonOf({ relay }: RunningRelay): string | null {
  return relay.status().lanes[0]?.reason ?? null;
}
