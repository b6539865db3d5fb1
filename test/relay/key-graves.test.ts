import { expect, test } from 'vitest';
import type { StoredEvent } from '../../src/event.ts';
import { createDeferred } from '../../src/lifecycle/deferred.ts';
import type { Session } from '../../src/postgres/session.ts';
import { createKeyGraves } from '../../src/relay/keys/key-graves.ts';
import { createKeyQueue } from '../../src/relay/keys/key-queue.ts';
import { createLaneLetters } from '../../src/relay/lane/lane-letters.ts';
import type { OutletContext } from '../../src/relay/lane/outlet.ts';

test('what dies while others are written down is written down by the next round, and counted until then', async () => {
  const rig = createRig();
  rig.graves.holdBack(event(1), 7);
  const first = rig.graves.close();
  rig.graves.holdBack(event(2), 8);
  expect(rig.graves).toMatchObject({ isEmpty: false, heldBack: 2, lowestBatch: 7 });
  rig.answer();
  expect(await first).toBe(true);
  expect(rig.written).toEqual([[1]]);
  expect(rig.graves).toMatchObject({ isEmpty: false, heldBack: 1, lowestBatch: 8 });
  const second = rig.graves.close();
  rig.answer();
  expect(await second).toBe(true);
  expect(rig.written).toEqual([[1], [2]]);
  expect(rig.graves).toMatchObject({ isEmpty: true, heldBack: 0, lowestBatch: undefined });
});

/** A session that answers when the test says so. */
function createRig() {
  const written: number[][] = [];
  let answered = createDeferred<unknown[][]>();
  const session = {
    query({ values }: { values: [number, string] }) {
      written.push(JSON.parse(values[1]).map(({ position }: { position: number }) => position));
      return answered.promise;
    },
  } as unknown as Session;
  const options = { stream: 'patients', subjects: [], ordering: 'key', deadLetters: 'hold' };
  const letters = createLaneLetters({ stream: 'patients', policy: 'hold', atMost: 100 });
  const context = { options, session, epoch: 1, letters } as unknown as OutletContext;
  return {
    graves: createKeyGraves(context, createKeyQueue({ perKey: true })),
    written,
    answer() {
      answered.resolve([[1]]);
      answered = createDeferred();
    },
  };
}

function event(position: number): StoredEvent {
  return {
    position,
    eventId: `id-${position}`,
    subject: 'ng.patient.1',
    key: 'a',
    type: null,
    headers: null,
    payload: Buffer.from('x'),
    createdAtMs: 0,
  };
}
