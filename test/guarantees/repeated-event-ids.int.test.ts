import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { readStream } from '../support/stream-history.ts';
import { openStage, type Stage } from './stage.ts';

test('an event id repeated within a batch is stored as often as it was committed', async () => {
  await using stage = await openStage();
  const [first, second] = [randomUUID(), randomUUID()];
  await insert(stage, [first, second, first, first, randomUUID(), second]);
  await using relay = await stage.startRelay();
  await stage.untilDrained();
  expect((await stage.log()).map(({ positions }) => positions)).toEqual([[1, 2, 3, 4, 5, 6]]);
  expect(await stage.faults()).toEqual([]);
  expect(await idsIn(stage, first)).toHaveLength(3);
  expect(relay.relay.status().lanes).toMatchObject([{ state: 'publishing', pending: 0 }]);
});

test('an event id repeated in a later batch is stored again, within the duplicate window', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay();
  const id = randomUUID();
  for (let repeat = 0; repeat < 3; repeat++) {
    await insert(stage, [id, randomUUID()]);
    await stage.untilDrained();
  }
  expect(await stage.faults()).toEqual([]);
  expect(await idsIn(stage, id)).toEqual([1, 3, 5]);
  expect(await relay.count('healedEvents')).toBe(0);
});

test('many repeated ids under load do not hold up the lane', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay();
  await using writers = stage.startWriters();
  const ids = Array.from({ length: 40 }, () => randomUUID());
  for (let i = 0; i < 200; i++)
    await insert(stage, [ids[i % ids.length] ?? '', ids[(i * 7) % ids.length] ?? '']);
  await writers.stop();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect(await relay.count('foreignMessages')).toBe(0);
  expect(relay.relay.status()).toMatchObject({ role: 'leader', epoch: 1 });
});

test('in key ordering, a duplicate whose last neighbour is refused is looked into without other traffic', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay({ lane: { ordering: 'key' } });
  const id = randomUUID();
  await insertKeyed(stage, [{ id, key: 'a', bytes: 1 }]);
  await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(1);
  // The relay does not know of this limit when it sends: the server refuses what is larger.
  await stage.jsm.streams.update(stage.stream, { max_msg_size: 3_000 });
  await insertKeyed(stage, [
    { id, key: 'a', bytes: 1 },
    { id: randomUUID(), key: 'b', bytes: 5_000 },
  ]);
  await expect.poll(stage.lastSequence, { timeout: 4_000 }).toBe(2);
  expect(await idsIn(stage, id)).toHaveLength(2);
  await expect.poll(() => relay.relay.status().lanes[0]?.pending).toBe(0);
});

async function insert({ pool, subject }: Stage, ids: readonly string[]): Promise<void> {
  await pool.query(
    `insert into postcommit.outbox (event_id, subject, payload)
     select id, $2, convert_to('event ' || n, 'UTF8') from unnest($1::uuid[]) with ordinality as u(id, n) order by n`,
    [ids, subject],
  );
}

async function idsIn({ jsm, stream }: Stage, id: string): Promise<number[]> {
  return (await readStream(jsm, stream))
    .filter(({ eventId }) => eventId === id)
    .map(({ sequence }) => sequence);
}

async function insertKeyed(
  { pool, subject }: Stage,
  events: readonly { readonly id: string; readonly key: string; readonly bytes: number }[],
): Promise<void> {
  await pool.query(
    `insert into postcommit.outbox (event_id, subject, key, payload)
     select id, $2, key, convert_to(repeat('x', bytes), 'UTF8')
       from json_to_recordset($1) as event (id uuid, key text, bytes int)`,
    [JSON.stringify(events), subject],
  );
}
