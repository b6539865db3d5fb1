import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createOrigins } from '../../src/batch-log/origins.ts';
import { positionBefore } from '../../src/batch-log/planned-since.ts';
import { openRingRig, type RingRig } from '../support/ring-rig.ts';

let rig: RingRig;
beforeAll(async () => {
  rig = await openRingRig();
});
afterAll(() => rig?.[Symbol.asyncDispose]());
beforeEach(() => rig.reset());

/** Row n of a log plans position 2n - 1 or 2n, a minute apart, the last of them now. */
async function planEveryMinute(stream: string, rows: number, offset: 0 | 1): Promise<void> {
  await rig.admin.query(
    `insert into postcommit.batches (stream, incarnation, batch, epoch, ordering, kind, first_sequence, last_sequence,
       positions, read_to, open_from, planned_at)
     select $1, 'i1', i, 1, 'stream', 'new', i, i, int8multirange(int8range(2 * i - $3, 2 * i - $3, '[]')), 2 * i, 2 * i + 1,
            clock_timestamp() - ($2 - i) * interval '1 minute'
       from generate_series(1, $2) i`,
    [stream, rows, offset],
  );
}

const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();

test('a moment is found in the log: nothing that was inserted since lies below, and little else above', async () => {
  await planEveryMinute('a', 3_000, 0);
  await planEveryMinute('b', 3_000, 1);
  for (const minutes of [20, 500, 1_500, 2_900]) {
    const oldest = 2 * (3_000 - minutes) - 1;
    const found = await positionBefore(rig.session, minutesAgo(minutes));
    expect(found).toBeLessThan(oldest);
    // Ten minutes for clocks that differ, 64 rows for a search that need not be exact.
    expect(found).toBeGreaterThan(Math.max(0, oldest - 2 * (10 + 64 + 2)));
  }
});

test('before all that the log knows is the beginning, and without a log, too', async () => {
  expect(await positionBefore(rig.session, minutesAgo(5))).toBe(0);
  await planEveryMinute('a', 100, 0);
  expect(await positionBefore(rig.session, minutesAgo(500))).toBe(0);
});

test('a stream for which nothing was planned since has no say; where none has, all are behind what was read', async () => {
  await planEveryMinute('a', 3_000, 0);
  await planEveryMinute('former', 10, 1);
  await rig.admin.query(
    `update postcommit.batches set planned_at = planned_at - interval '3 days' where stream = 'former'`,
  );
  expect(await positionBefore(rig.session, minutesAgo(100))).toBeGreaterThan(5_000);
  await rig.admin.query(`update postcommit.batches set planned_at = planned_at - interval '1 day'`);
  expect(await positionBefore(rig.session, minutesAgo(100))).toBe(20);
});

test('an event is of the stream that it was planned for first hand: copies elsewhere do not count', async () => {
  await rig.plan({ stream: 'a', positions: [1, 2, 5] });
  await rig.plan({ stream: 'b', positions: [3] });
  await rig.plan({ stream: 'b', kind: 'replay', positions: [1, 7] });
  await rig.plan({ stream: 'a', positions: [20_001], readTo: 20_001, openFrom: 20_002 });
  const origins = createOrigins(rig.session);
  const found: (string | undefined)[] = [];
  for (const position of [1, 3, 4, 5, 7, 20_001, 2]) found.push(await origins.of(position));
  expect(found).toEqual(['a', 'b', undefined, 'a', undefined, 'a', 'a']);
});

test('what an audit found long after its neighbours were planned is found all the same', async () => {
  await planEveryMinute('a', 500, 0);
  await rig.plan({ stream: 'a', positions: [3], readTo: 1_000, openFrom: 1_001 });
  const origins = createOrigins(rig.session);
  expect([await origins.of(2), await origins.of(3), await origins.of(5)]).toEqual(['a', 'a', undefined]);
});
