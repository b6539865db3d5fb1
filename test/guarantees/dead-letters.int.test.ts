import { expect, test } from 'vitest';
import { askLeader, letterStates, readLetters, untilLetters } from '../support/dead-letters.ts';
import { readStream } from '../support/stream-history.ts';
import { openStage, type Stage } from './stage.ts';

const LARGE = 'x'.repeat(20_000);
const SMALL_MESSAGES = { max_msg_size: 10_000 };

test('G7: an event larger than the stream takes is set aside and named, others go on; a retry publishes it', async () => {
  await using stage = await openStage({ config: SMALL_MESSAGES });
  await using _relay = await stage.startRelay();
  await stage.write(3);
  await stage.write(1, { payload: LARGE });
  await stage.write(3);
  await untilStored(stage, [1, 2, 3, 5, 6, 7]);
  const [letter] = await readLetters(stage.pool);
  expect(letter).toMatchObject({ position: 4, state: 'parked', outcome: 'refused', attempts: 1 });
  expect(letter?.reason).toContain('max_msg_size');
  await untilFaultless(stage);
  expect(await askLeader(stage.pool, 'retry')).toEqual({ retried: 1, misrouted: 0, gone: 0 });
  await untilLetters(stage.pool, [[4, 'parked']]);
  expect((await readLetters(stage.pool))[0]?.attempts).toBe(2);
  const { rows: times } = await stage.pool.query(
    'select first_failed_at as first, last_failed_at as last from postcommit.dead_letters',
  );
  expect(times[0].last.getTime()).toBeGreaterThan(times[0].first.getTime());
  await stage.jsm.streams.update(stage.stream, { max_msg_size: -1 });
  await askLeader(stage.pool, 'retry', { ids: [letter?.id] });
  await untilStored(stage, [1, 2, 3, 5, 6, 7, 4]);
  await untilLetters(stage.pool, [[4, 'resolved']]);
  await untilFaultless(stage);
});

test('an event that is refused after it was planned leaves a marker in its slot, and order stays', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  await stage.write(3);
  await untilStored(stage, [1, 2, 3]);
  await stage.jsm.streams.update(stage.stream, SMALL_MESSAGES); // The relay does not know yet.
  await stage.write(1, { payload: LARGE });
  await stage.write(500);
  await stage.untilDrained();
  await untilLetters(stage.pool, [[4, 'parked']]);
  await untilFaultless(stage);
  const messages = await readStream(stage.jsm, stage.stream);
  expect(messages[3]).toMatchObject({ sequence: 4, position: 4, payload: '', skipped: expect.any(String) });
  expect(messages.map(({ position }) => position)).toEqual(Array.from({ length: 504 }, (_, i) => i + 1));
  expect((await stage.log()).filter(({ kind }) => kind === 'marker')).toHaveLength(1);
});

test.each([
  { policy: 'skip' as const, first: [1, 3, 4, 6], order: [1, 3, 4, 6, 2] },
  { policy: 'hold' as const, first: [1, 4], order: [1, 4, 2, 3, 6] },
])(
  '$policy: later events of a dead key, refused before and after planning',
  async ({ policy, first, order }) => {
    for (const refused of ['before', 'after'] as const) {
      await using stage = await openStage(refused === 'before' ? { config: SMALL_MESSAGES } : {});
      await using relay = await stage.startRelay({ lane: { deadLetters: policy } });
      await relay.until('publishing');
      if (refused === 'after') await stage.jsm.streams.update(stage.stream, SMALL_MESSAGES);
      await writeKeys(stage, [
        ['a', 'one'],
        ['b', LARGE],
        ['b', 'three'],
        ['c', 'four'],
        ['c', LARGE],
        ['b', 'six'],
      ]);
      const held: (readonly [number, string])[] = policy === 'hold' ? [[3, 'held']] : [];
      const tail: (readonly [number, string])[] = policy === 'hold' ? [[6, 'held']] : [];
      await untilLetters(stage.pool, [[2, 'parked'], ...held, [5, 'parked'], ...tail]);
      await untilStored(stage, first);
      const letters = await readLetters(stage.pool);
      await askLeader(stage.pool, 'discard', { ids: [letters.find(({ position }) => position === 5)?.id] });
      await stage.jsm.streams.update(stage.stream, { max_msg_size: -1 });
      await askLeader(stage.pool, 'retry', { keys: ['b'] });
      await untilStored(stage, order);
      await untilFaultless(stage);
      expect((await letterStates(stage.pool)).filter(([, state]) => state !== 'resolved')).toEqual([
        [5, 'discarded'],
      ]);
    }
  },
);

test('hold: what waits behind a discarded event goes on in order', async () => {
  await using stage = await openStage({ config: SMALL_MESSAGES });
  await using relay = await stage.startRelay({ lane: { deadLetters: 'hold' } });
  await relay.until('publishing');
  await writeKeys(stage, [
    ['a', LARGE],
    ['a', 'two'],
    ['a', 'three'],
  ]);
  await untilLetters(stage.pool, [
    [1, 'parked'],
    [2, 'held'],
    [3, 'held'],
  ]);
  const [head] = await readLetters(stage.pool);
  expect(await askLeader(stage.pool, 'discard', { ids: [head?.id] })).toEqual({ discarded: 1, released: 2 });
  await writeKeys(stage, [['a', 'four']]);
  await untilStored(stage, [2, 3, 4]);
  await untilFaultless(stage);
});

test.each(['retry', 'discard'] as const)(
  'hold: more than one portion waits behind a dead event, more come while it is asked to %s it; all go on in order',
  async (kind) => {
    await using stage = await openStage({ config: SMALL_MESSAGES });
    await using relay = await stage.startRelay({ lane: { deadLetters: 'hold' } });
    await relay.until('publishing');
    await writeKeys(stage, [['key-0', LARGE]]);
    await stage.write(1_300, { key: 'key-0' });
    await expect.poll(async () => (await readLetters(stage.pool)).length, { timeout: 10_000 }).toBe(1_301);
    const [head] = await readLetters(stage.pool);
    await stage.jsm.streams.update(stage.stream, { max_msg_size: -1 });
    await using writers = stage.startWriters({ count: 1, keys: 1 });
    const answer = await askLeader(stage.pool, kind, { ids: [head?.id] });
    await writers.stop();
    // As many as waited when they were chosen, which others have joined since.
    expect(answer[kind === 'retry' ? 'retried' : 'released']).toBeGreaterThanOrEqual(1_300);
    await stage.untilDrained();
    await expect
      .poll(async () => new Set((await letterStates(stage.pool)).map(([, state]) => state)), {
        timeout: 10_000,
      })
      .toEqual(new Set(kind === 'retry' ? ['resolved'] : ['resolved', 'discarded']));
    const stored = (await stage.messages()).map(({ position }) => position);
    expect(stored).toEqual([...stored].sort((a, b) => (a ?? 0) - (b ?? 0)));
    await untilFaultless(stage);
  },
);

test('events that no lane takes are set aside; a hundred in a row pause the relay, which says why', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay();
  await stage.write(1);
  await stage.write(1, { subject: 'elsewhere.event' });
  await stage.write(1);
  await untilStored(stage, [1, 3]);
  const [letter] = await readLetters(stage.pool);
  expect(letter).toMatchObject({ position: 2, outcome: 'misrouted', state: 'parked' });
  expect(letter?.reason).toContain('elsewhere.event');
  expect(await askLeader(stage.pool, 'retry')).toEqual({ retried: 0, misrouted: 1, gone: 0 });
  await stage.write(200, { subject: 'elsewhere.event' });
  expect(await relay.until('paused')).toContain('the last 100 events were all misrouted');
  expect((await readLetters(stage.pool)).length).toBeLessThan(101);
});

test('a leader that dies between a marker and its dead letter leaves nothing half done', async () => {
  await using stage = await openStage();
  for (let round = 0; round < 3; round++) {
    const before = (await stage.lastSequence()) + 1;
    await using relay = await stage.startRelayProcess();
    await relay.line('ready');
    await stage.jsm.streams.update(stage.stream, SMALL_MESSAGES);
    await stage.write(200);
    await stage.write(1, { payload: LARGE });
    await stage.write(200);
    await expect.poll(stage.lastSequence, { interval: 1, timeout: 10_000 }).toBeGreaterThan(before + 199);
    relay.kill('SIGKILL');
    await relay.exit;
  }
  await using _relay = await stage.startRelay();
  await stage.untilDrained();
  await expect
    .poll(async () => (await letterStates(stage.pool)).map(([, state]) => state), { timeout: 10_000 })
    .toEqual(['parked', 'parked', 'parked']);
  await untilFaultless(stage);
  await stage.jsm.streams.update(stage.stream, { max_msg_size: -1 });
  await askLeader(stage.pool, 'retry');
  await expect
    .poll(async () => (await letterStates(stage.pool)).map(([, state]) => state), { timeout: 10_000 })
    .toEqual(['resolved', 'resolved', 'resolved']);
  await untilFaultless(stage);
});

test('dead letters are bounded: with as many as may wait, the lane pauses and loses nothing', async () => {
  await using stage = await openStage({ config: SMALL_MESSAGES });
  await using relay = await stage.startRelay({ maxDeadLetters: 3 });
  for (let i = 0; i < 5; i++) {
    await stage.write(1, { payload: LARGE });
    await stage.write(2);
    if (i < 3) await expect.poll(async () => (await readLetters(stage.pool)).length).toBe(i + 1);
  }
  expect(await relay.until('paused')).toContain('dead letters of stream');
  expect(await readLetters(stage.pool)).toHaveLength(3);
  await askLeader(stage.pool, 'discard');
  await stage.untilDrained();
  expect((await stage.faults()).filter((fault) => !fault.startsWith('dead'))).toEqual([]);
});

async function writeKeys(stage: Stage, events: readonly (readonly [string, string])[]): Promise<void> {
  await stage.pool.query(
    `insert into postcommit.outbox (subject, key, payload)
     select $1, e->>0, convert_to(e->>1, 'UTF8') from jsonb_array_elements($2::jsonb) e`,
    [stage.subject, JSON.stringify(events)],
  );
}

/** The positions of the events in the stream, in its order. */
async function untilStored(stage: Stage, positions: readonly number[]): Promise<void> {
  const stored = async () =>
    (await readStream(stage.jsm, stage.stream))
      .filter(({ skipped }) => skipped === '')
      .map(({ position }) => position);
  await expect.poll(stored, { timeout: 10_000, interval: 20 }).toEqual(positions);
}

/** A letter is resolved a moment after its event was stored. */
async function untilFaultless(stage: Stage): Promise<void> {
  await expect.poll(stage.faults, { timeout: 10_000, interval: 50 }).toEqual([]);
}
