import { headers as createHeaders } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import { headerBlock } from '../../src/jetstream/index.ts';
import { createOrdinarySender } from '../../src/jetstream/wire.ts';
import { startNats } from '../support/services.ts';
import { readOutbox, readStream } from '../support/stream-history.ts';
import { openStage, type Stage } from './stage.ts';

let nats: EmbeddedNats;

beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

test('messages of another writer, in the midst of publishing, cost order and nothing else', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay();
  await using writers = stage.startWriters();
  const foreign = 20;
  for (let i = 0; i < foreign; i++) {
    await stage.untilPublishing({ events: 200, share: 0.2 });
    await publishForeign(stage);
  }
  await writers.stop();
  await untilFaultless(stage);
  expect(await foreignIn(stage)).toBe(foreign);
  expect(await relay.count('foreignMessages')).toBe(foreign);
  expect(await relay.count('disorderedEvents')).toBe(await movedIn(stage));
  expect(relay.lines.some(({ event }) => event === 'foreign-messages')).toBe(true);
});

test('a message that came while the relay was idle or dead is counted once, and displaces nothing', async () => {
  await using stage = await openStage();
  await stage.write(5);
  {
    await using relay = await stage.startRelay();
    await stage.untilDrained();
    await publishForeign(stage);
    await stage.write(5);
    await untilFaultless(stage);
    expect(await relay.count('foreignMessages')).toBe(1);
  }
  await publishForeign(stage);
  await publishForeign(stage);
  await stage.write(5);
  await using relay = await stage.startRelay();
  await untilFaultless(stage);
  expect(await relay.count('foreignMessages')).toBe(2);
  expect(await stage.lastSequence()).toBe(5 + 1 + 5 + 2 + 5);
});

test.each([
  { taken: 'the slot of event 0, and event 1 followed', followers: 1 },
  { taken: 'the slot of event 0', followers: 0 },
])('while the relay is dead $taken: nothing is lost, nothing twice', async ({ followers }) => {
  await using stage = await openStage({ natsUrl: nats.url });
  await stage.write(5);
  const planned = await dieBetweenPlanAndPublish(stage, 10);
  await publishForeign(stage);
  const packets = (await readOutbox(stage.pool)).slice(6, 6 + followers);
  const source = await sourceOf(stage);
  // What the dead relay had sent may still arrive.
  packets.forEach((row, i) => {
    const event = { ...row, key: null, type: null, headers: null, createdAtMs: 0 };
    const expectedLastSequence = planned + i;
    const headers = headerBlock(
      { ...event, payload: Buffer.from(row.payload) },
      { stream: stage.stream, source, messageId: row.eventId, expectedLastSequence },
    );
    const message = { subject: row.subject, reply: 'nobody', headers, payload: Buffer.from(row.payload) };
    createOrdinarySender(stage.connection)(message);
  });
  await stage.connection.flush();
  await expect.poll(stage.lastSequence).toBe(planned + followers);
  await using relay = await stage.startRelay();
  await untilFaultless(stage);
  expect(await stage.lastSequence()).toBe(16);
  expect((await stage.log()).map(({ kind }) => kind)).toContain('again');
  expect(await relay.count('foreignMessages')).toBe(1);
  expect(await relay.count('disorderedEvents')).toBe(1);
});

/** Leaves a batch in the log of which nothing was published. Returns its first sequence. */
async function dieBetweenPlanAndPublish(stage: Stage, events: number): Promise<number> {
  await using relay = await stage.startRelay();
  await stage.untilDrained();
  nats.kill('SIGKILL');
  try {
    await expect.poll(() => relay.relay.status().brokerConnected, { timeout: 10_000 }).toBe(false);
    await stage.write(events);
    await expect
      .poll(async () => (await stage.log()).at(-1)?.positions.length, { timeout: 10_000 })
      .toBe(events);
    await relay.relay.stop({ graceMs: 0 });
  } finally {
    await nats.start();
  }
  const first = (await stage.log()).at(-1)?.firstSequence;
  expect(await stage.lastSequence()).toBe((first ?? 0) - 1);
  return first ?? 0;
}

async function publishForeign(stage: Stage): Promise<void> {
  const headers = createHeaders();
  headers.set('Author', 'somebody else');
  await stage.jsm.jetstream().publish(stage.subject, 'foreign', { headers });
}

async function untilFaultless(stage: Stage): Promise<void> {
  await stage.untilDrained();
  await expect.poll(stage.faults, { timeout: 15_000, interval: 100 }).toEqual([]);
}

async function foreignIn(stage: Stage): Promise<number> {
  return (await readStream(stage.jsm, stage.stream)).filter(({ source }) => source === '').length;
}

/** How often an event was given another place than it had; twice for one that lost that place too. */
async function movedIn(stage: Stage): Promise<number> {
  return (await stage.log())
    .filter(({ kind }) => kind !== 'new')
    .reduce((sum, { positions }) => sum + positions.length, 0);
}

async function sourceOf(stage: Stage): Promise<string> {
  const message = await stage.jsm.streams.getMessage(stage.stream, { seq: 1 });
  return message?.header.get('Postcommit-Source') ?? '';
}
