import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { openRingRig, type RingRig } from '../support/ring-rig.ts';

let rig: RingRig;
beforeAll(async () => {
  rig = await openRingRig();
});
beforeEach(() => rig.reset());
afterAll(() => rig[Symbol.asyncDispose]());

async function shown() {
  const value = async (name: 'segmentsInUse' | 'segmentsOverdue') =>
    (await rig.metrics[name].get()).values[0]?.value;
  return { inUse: await value('segmentsInUse'), overdue: await value('segmentsOverdue') };
}

const settled = { stream: 'a', settledTo: 100, settledBatch: null };

/** Nobody reads: every leaf but the current one may be emptied. */
const facts = (lanes = [settled]) => ({ captures: [], lanes, openFrom: 1_000 });

test('leaves that hold rows are in use; those past the retention are overdue until they are emptied', async () => {
  const ring = rig.ring({ retentionMs: 60_000 });
  const [old = 0] = await rig.insert(1, { segment: 3 });
  await rig.admin.query(`update postcommit.outbox_3 set created_at = now() - interval '1 hour'`);
  await rig.insert(1, { segment: 0 });
  await ring.turn(facts([]));
  expect(await shown()).toEqual({ inUse: 2, overdue: 1 });
  await rig.plan({ positions: [old] });
  await ring.turn(facts());
  await ring.turn(facts());
  expect(await rig.rowsIn(3)).toBe(0);
  expect(await shown()).toEqual({ inUse: 1, overdue: 0 });
});

test('the leaf that is written to is never overdue, and a full ring has all eight in use', async () => {
  for (let segment = 0; segment < 8; segment++) await rig.insert(1, { segment });
  await rig.admin.query(`update postcommit.outbox_0 set created_at = now() - interval '1 hour'`);
  await rig.ring({ retentionMs: 60_000 }).turn(facts([]));
  expect(await shown()).toEqual({ inUse: 8, overdue: 0 });
});

test('while somebody keeps everyone out of a leaf, the sums stay as they were', async () => {
  const ring = rig.ring({ retentionMs: 60_000 });
  await rig.insert(1, { segment: 0 });
  await ring.turn(facts());
  const before = (await rig.metrics.outboxBytes.get()).values[0]?.value;
  expect(before).toBeGreaterThan(0);
  await rig.insert(1, { segment: 1 });
  const blocker = await rig.connect();
  await blocker.query('begin; lock table postcommit.outbox_5 in access exclusive mode');
  await ring.turn(facts());
  expect(await shown()).toEqual({ inUse: 1, overdue: 0 });
  expect((await rig.metrics.outboxBytes.get()).values[0]?.value).toBe(before);
  await blocker.query('rollback');
  await ring.turn(facts());
  expect(await shown()).toEqual({ inUse: 2, overdue: 0 });
});
