import type { PubAck, StreamConfig } from '@nats-io/jetstream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type NatsCluster, startNatsCluster } from '../../src/embedded/index.ts';
import { natsServerOf } from '../support/nats-server-versions.ts';
import { readOutbox, readStream } from '../support/stream-history.ts';
import { openStage, type Stage } from './stage.ts';

// Nats-server 2.10 with several replicas remembers the id of a message that its expected sequence refused, and
// acknowledges the message as a duplicate when it is sent again: `{"seq":0,"duplicate":true}`, stored nowhere.

const VERSION = '2.10.27';
const FOREIGN = 10;
const KILLS = 2;
const replicated = { num_replicas: 3, discard: 'new' as StreamConfig['discard'] };

let cluster: NatsCluster;

beforeAll(async () => {
  cluster = await startNatsCluster({ binary: (await natsServerOf(VERSION)).path });
});
afterAll(() => cluster[Symbol.asyncDispose]());

test('the stock client takes for stored what the broker refused and then calls a duplicate', async () => {
  await using stage = await openStage({ natsUrl: cluster.url, config: replicated });
  const ids = Array.from({ length: 1_000 }, (_, i) => `id-${i}`);
  // The message before these never arrived: each expects the sequence before its own, and all are refused.
  const first = await Promise.allSettled(ids.map((id, i) => publish(stage, id, i + 1)));
  expect(first.filter(({ status }) => status === 'fulfilled')).toEqual([]);
  const second = await Promise.all(ids.map((id, i) => publish(stage, id, i)));
  const messages = await stage.lastSequence();
  const missing = second.length - messages;
  expect(second.filter(({ seq, duplicate }) => seq === 0 && duplicate)).toHaveLength(missing);
  // The reason for all this. Another version may stand in for this one, and be better.
  if (cluster.version === VERSION) expect(missing).toBe(1_000);
});

test('a foreign writer in the midst of publishing makes such ids, and the relay loses and doubles nothing', async () => {
  await using stage = await openStage({ natsUrl: cluster.url, config: replicated });
  await using relay = await stage.startRelay();
  await using writers = stage.startWriters();
  for (let i = 0; i < FOREIGN; i++) {
    await stage.untilPublishing({ events: 200, share: 0.2 });
    await stage.jsm.jetstream().publish(stage.subject, 'foreign');
  }
  await writers.stop();
  await untilFaultless(stage);
  expect(writers.failures).toEqual([]);
  expect(await relay.count('foreignMessages')).toBe(FOREIGN);
  const displaced = (await stage.log())
    .filter(({ kind }) => kind === 'again')
    .flatMap(({ positions }) => positions);
  expect(displaced.length).toBeGreaterThan(0);
  await expectLies(stage, displaced);
});

test('a full stream refuses all that is under way, and the relay stores it once when there is room', async () => {
  const full = 500;
  await using stage = await openStage({ natsUrl: cluster.url, config: { ...replicated, max_msgs: full } });
  await using relay = await stage.startRelay();
  await stage.write(1_500);
  expect(await relay.until('paused')).toContain('maximum messages exceeded');
  await stage.jsm.streams.update(stage.stream, { max_msgs: -1 });
  await untilFaultless(stage);
  await expectLies(stage, [full + 2]);
});

test('a lane that changes to key ordering amid this sends such ids again, and is not deceived', async () => {
  await using stage = await openStage({ natsUrl: cluster.url, config: { ...replicated, max_msgs: 950 } });
  {
    await using relay = await stage.startRelay();
    await stage.write(1_000);
    await relay.until('paused');
  }
  await stage.jsm.streams.update(stage.stream, { max_msgs: -1 });
  await using relay = await stage.startRelay({ lane: { ordering: 'key' } });
  await stage.write(200);
  await expect.poll(() => relay.relay.status().lanes[0]?.pending, { timeout: 20_000 }).toBe(0);
  await expect.poll(stage.lastSequence, { timeout: 5_000 }).toBe(1_200);
  const positions = (await readStream(stage.jsm, stage.stream)).map(({ position }) => position);
  expect(positions.sort((a, b) => a - b)).toEqual(Array.from({ length: 1_200 }, (_, i) => i + 1));
  if (cluster.version === VERSION) expect(await relay.count('duplicateAcks')).toBeGreaterThan(0);
});

test('killed amid this, the relay loses and doubles nothing either', async () => {
  await using stage = await openStage({ natsUrl: cluster.url, config: replicated });
  for (let kill = 0; kill < KILLS; kill++) {
    await using relay = await stage.startRelayProcess();
    await relay.line('role', ({ role }) => role === 'leader');
    await stage.untilPublishing({ events: 2_000, share: 0.2 });
    await stage.jsm.jetstream().publish(stage.subject, 'foreign');
    relay.kill('SIGKILL');
    await relay.exit;
  }
  await using relay = await stage.startRelay();
  await untilFaultless(stage);
  expect(await foreignIn(stage)).toBe(KILLS);
  expect(relay.relay.status()).toMatchObject({ role: 'leader' });
});

/** The broker would acknowledge these ids without storing anything: whoever sends them again is lied to. */
async function expectLies(stage: Stage, positions: readonly number[]): Promise<void> {
  if (cluster.version !== VERSION) return;
  const ids = new Map((await readOutbox(stage.pool)).map((row) => [row.position, row.eventId]));
  const before = await stage.lastSequence();
  const acks = await Promise.all(positions.map((position) => publish(stage, ids.get(position) ?? '')));
  expect(acks.filter(({ seq, duplicate }) => seq === 0 && duplicate).length).toBeGreaterThan(0);
  expect(await stage.lastSequence()).toBe(before + acks.filter(({ duplicate }) => !duplicate).length);
}

function publish({ jsm, subject }: Stage, msgID: string, lastSequence?: number): Promise<PubAck> {
  const expect = lastSequence === undefined ? {} : { lastSequence };
  return jsm.jetstream().publish(subject, 'payload', { msgID, expect });
}

async function untilFaultless(stage: Stage): Promise<void> {
  await stage.untilDrained();
  await expect.poll(stage.faults, { timeout: 15_000, interval: 100 }).toEqual([]);
}

async function foreignIn(stage: Stage): Promise<number> {
  return (await readStream(stage.jsm, stage.stream)).filter(({ source }) => source === '').length;
}
