import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import { sleep } from '../../src/lifecycle/abort.ts';
import { startTcpProxy } from '../../src/testing/index.ts';
import { askLeader, readLetters, untilLetters } from '../support/dead-letters.ts';
import { startNats } from '../support/services.ts';
import { readStream, type StreamMessage } from '../support/stream-history.ts';
import { openStage, type Stage } from './stage.ts';

const KEY = { ordering: 'key' as const };
const WINDOW_MS = 2_000;
const OUTAGE_MS = 10_000;
const SHORT_WINDOW = { duplicate_window: WINDOW_MS * 1_000_000 };

let nats: EmbeddedNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

test('G4: on a stream that others write to, each event is stored once and each key is in order', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay({ lane: KEY });
  let running = true;
  const others = (async () => {
    for (let i = 0; running; i++) await stage.jsm.jetstream().publish(stage.subject, `foreign ${i}`);
  })();
  for (let i = 0; i < 20; i++) await writeKeyed(stage, 200);
  await stage.untilDrained();
  await untilAllStored(stage, 4_000);
  running = false;
  await others;
  expect(await faults(stage)).toEqual([]);
  expect(await relay.count('duplicateAcks')).toBe(0);
});

test('an event that is looked up again after its acknowledgement is counted once', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay({ lane: KEY });
  await stage.untilPublishing({ events: 20_000, share: 0.3 });
  nats.kill('SIGKILL');
  await nats.start();
  await stage.lastSequence(); // Until the connection is back.
  await untilAllStored(stage, 20_000);
  await expect.poll(() => relay.count('publishedEvents')).toBe(20_000);
});

test('none: as fast as it goes, each event once', async () => {
  await using stage = await openStage();
  await using _relay = await stage.startRelay({ lane: { ordering: 'none' } });
  await writeKeyed(stage, 3_000);
  await untilAllStored(stage, 3_000);
  expect((await faults(stage)).filter((fault) => !fault.startsWith('disorder'))).toEqual([]);
});

test('killed at random moments, a relay in key ordering loses, doubles and reorders nothing', async () => {
  await using stage = await openStage();
  let written = 0;
  for (let kill = 0; kill < 6; kill++) {
    await using relay = await stage.startRelayProcess({ ordering: 'key' });
    await relay.line('ready');
    const before = await stage.lastSequence();
    await writeKeyed(stage, 1_500);
    written += 1_500;
    await expect
      .poll(stage.lastSequence, { timeout: 10_000, interval: 1 })
      .toBeGreaterThan(before + 100 + 200 * kill);
    relay.kill('SIGKILL');
    await relay.exit;
  }
  await using _relay = await stage.startRelay({ lane: KEY });
  await untilAllStored(stage, written);
  expect(await faults(stage)).toEqual([]);
});

test('an outage of ten seconds with a duplicate window of two: none of 20,000 events is stored twice', async () => {
  await using stage = await openStage({ natsUrl: nats.url, config: SHORT_WINDOW });
  await using proxy = await startTcpProxy({ port: nats.port });
  await using relay = await stage.startRelay({
    lane: KEY,
    nats: () => ({ servers: [`nats://127.0.0.1:${proxy.port}`] }),
  });
  await relay.until('publishing');
  await writeKeyed(stage, 20_000, { keys: 20_000 });
  await expect.poll(stage.lastSequence, { timeout: 20_000, interval: 1 }).toBeGreaterThan(3_000);
  // What is stored from here on is not heard of; what the frozen server has in its buffers is stored later.
  proxy.swallow({ direction: 'down', links: 'open' });
  const unheard = async () => (await stage.lastSequence()) - (await relay.count('publishedEvents'));
  await expect.poll(unheard, { timeout: 5_000, interval: 1 }).toBeGreaterThan(100);
  proxy.blackHole({ links: 'open' });
  nats.kill('SIGSTOP');
  await sleep(OUTAGE_MS);
  nats.kill('SIGCONT');
  await untilAllStored(stage, 20_000, 40_000);
  expect(await faults(stage)).toEqual([]);
});

test('beside a busy neighbour, what was not stored is sent although looking for it takes longer than half the window', async () => {
  await using stage = await openStage({ natsUrl: nats.url, config: { duplicate_window: 200_000_000 } });
  await using proxy = await startTcpProxy({ port: nats.port });
  await using relay = await stage.startRelay({
    lane: KEY,
    nats: () => ({ servers: [`nats://127.0.0.1:${proxy.port}`] }),
  });
  await relay.until('publishing');
  proxy.swallow({ direction: 'up' });
  await writeKeyed(stage, 1);
  await expect.poll(async () => (await stage.log()).flatMap(({ positions }) => positions)).toEqual([1]);
  for (let i = 1; i <= 20_000; i++) {
    stage.connection.publish(stage.subject, 'foreign');
    if (i % 1_000 === 0) await stage.connection.flush();
  }
  await expect.poll(stage.lastSequence, { timeout: 15_000 }).toBe(20_000);
  proxy.cut();
  proxy.heal();
  await expect.poll(stage.lastSequence, { timeout: 25_000 }).toBe(20_001);
  expect(await faults(stage)).toEqual([]);
});

test('two services share one stream, each with its relay and both right', async () => {
  await using one = await openStage();
  await using other = await openStage();
  const shared = { ...KEY, stream: one.stream };
  await one.jsm.streams.update(one.stream, { subjects: [`${one.stream}.>`] });
  const subjects = { a: `${one.stream}.a.event`, b: `${one.stream}.b.event` };
  await using _a = await one.startRelay({ lane: { ...shared, subjects: [`${one.stream}.a.>`] } });
  await using _b = await other.startRelay({ lane: { ...shared, subjects: [`${one.stream}.b.>`] } });
  for (let i = 0; i < 10; i++) {
    await writeKeyed(one, 200, { subject: subjects.a });
    await writeKeyed(other, 200, { subject: subjects.b });
  }
  await expect.poll(one.lastSequence, { timeout: 20_000 }).toBe(4_000);
  expect(await faults(one, one.stream)).toEqual([]);
  expect(await faults(other, one.stream)).toEqual([]);
});

test('a stream made anew is adopted in key ordering, too', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay({ lane: KEY });
  await writeKeyed(stage, 500);
  await untilAllStored(stage, 500);
  await stage.jsm.streams.delete(stage.stream);
  await stage.jsm.streams.add({ name: stage.stream, subjects: [`${stage.stream}.>`] });
  await expect.poll(() => relay.relay.status().lanes[0]?.state, { timeout: 15_000 }).toBe('paused');
  expect(await askLeader(stage.pool, 'adopt', { stream: stage.stream, mode: 'republish' })).toMatchObject({
    adopted: true,
    republished: 500,
  });
  await untilAllStored(stage, 500);
  await writeKeyed(stage, 100);
  await untilAllStored(stage, 600);
  expect(await faults(stage)).toEqual([]);
});

test('hold: later events of a refused key wait, other keys go on', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay({ lane: { ...KEY, deadLetters: 'hold' } });
  await relay.until('publishing');
  await stage.jsm.streams.update(stage.stream, { max_msg_size: 10_000 });
  await stage.write(1, { key: 'a', payload: 'x'.repeat(20_000) });
  await stage.write(2, { key: 'a' });
  await stage.write(2, { key: 'b' });
  await untilLetters(stage.pool, [
    [1, 'parked'],
    [2, 'held'],
    [3, 'held'],
  ]);
  await stage.jsm.streams.update(stage.stream, { max_msg_size: -1 });
  await askLeader(stage.pool, 'retry', { ids: [(await readLetters(stage.pool))[0]?.id] });
  await untilAllStored(stage, 5);
  expect((await ours(stage)).map(({ position }) => position)).toEqual([4, 5, 1, 2, 3]);
});

test('a lane changes its ordering and back again between restarts', async () => {
  await using stage = await openStage();
  let written = 0;
  for (const ordering of ['stream', 'key', 'stream', 'none', 'stream'] as const) {
    await using relay = await stage.startRelayProcess({ ordering });
    await relay.line('ready');
    const before = await stage.lastSequence();
    await writeKeyed(stage, 1_000);
    written += 1_000;
    await expect.poll(stage.lastSequence, { timeout: 10_000, interval: 1 }).toBeGreaterThan(before + 300);
    relay.kill('SIGKILL');
    await relay.exit;
  }
  await using _relay = await stage.startRelay();
  await untilAllStored(stage, written);
  expect((await faults(stage)).filter((fault) => !fault.startsWith('disorder'))).toEqual([]);
});

/** One transaction with events of so many keys in turn. */
async function writeKeyed(
  stage: Stage,
  events: number,
  { subject = stage.subject, keys = 10 }: { subject?: string; keys?: number } = {},
): Promise<void> {
  await stage.pool.query(
    `insert into postcommit.outbox (subject, key, payload)
     select $1, 'key-' || i % $3::int, convert_to('event', 'UTF8') from generate_series(1, $2::int) i`,
    [subject, events, keys],
  );
}

async function ours(stage: Stage, stream = stage.stream): Promise<StreamMessage[]> {
  const { rows } = await stage.pool.query(
    `select current_database() || '@' || system_identifier as source from pg_control_system()`,
  );
  const messages = await readStream(stage.jsm, stream);
  return messages.filter(({ source }) => source === rows[0].source);
}

async function untilAllStored(stage: Stage, events: number, timeoutMs = 20_000): Promise<void> {
  // Reading everything again and again would cost the relay the processor that it waits for.
  await expect.poll(stage.lastSequence, { timeout: timeoutMs, interval: 100 }).toBeGreaterThanOrEqual(events);
  const distinct = async () => new Set((await ours(stage)).map(({ position }) => position)).size;
  await expect.poll(distinct, { timeout: timeoutMs, interval: 100 }).toBe(events);
}

/** Lost, doubled, and events before an earlier one of their key: positions of a key rise in the stream. */
async function faults(stage: Stage, stream = stage.stream): Promise<string[]> {
  const { rows } = await stage.pool.query('select position::int, key from postcommit.outbox');
  const keys = new Map<number, string>(rows.map(({ position, key }) => [position, key]));
  const seen = new Set<number>();
  const last = new Map<string, number>();
  const found: string[] = [];
  for (const { position, sequence } of await ours(stage, stream)) {
    const key = keys.get(position);
    if (key === undefined) found.push(`phantom: ${position}`);
    if (seen.has(position)) found.push(`twice: ${position} at ${sequence}`);
    seen.add(position);
    if (key !== undefined && (last.get(key) ?? 0) > position) found.push(`disorder: ${position} of ${key}`);
    if (key !== undefined) last.set(key, position);
  }
  for (const position of keys.keys()) if (!seen.has(position)) found.push(`lost: ${position}`);
  return found;
}
