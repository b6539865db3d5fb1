import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { pruneIfLeading } from '../../src/batch-log/prune.ts';
import { lastRows } from '../../src/batch-log/recover.ts';
import { settledLogs } from '../../src/batch-log/settled.ts';
import { createLeafCheck } from '../../src/outbox/emptying.ts';
import { openRingRig, type RingRig } from '../support/ring-rig.ts';

let rig: RingRig;
beforeAll(async () => {
  rig = await openRingRig();
});
afterAll(() => rig?.[Symbol.asyncDispose]());
beforeEach(() => rig.reset());

const settledTo = (sequence: number, stream = 'a') => ({ stream, settledTo: sequence, settledBatch: null });
const settledBatch = (batch: number, stream = 'a') => ({ stream, settledTo: null, settledBatch: batch });

describe('a leaf is emptied only when every event in it is stored', () => {
  test('planned is not stored: by sequence where there are slots', async () => {
    await rig.insert(3);
    await rig.plan({ positions: [1, 2] });
    await rig.plan({ positions: [3] });
    expect(await rig.empty(0, [settledTo(2)])).toEqual({ kind: 'unsettled', rows: 1, streams: ['a'] });
    expect(await rig.rowsIn(0)).toBe(3);
    expect(await rig.empty(0, [settledTo(3)])).toEqual({ kind: 'emptied' });
    expect(await rig.rowsIn(0)).toBe(0);
  });

  test('by batch where there are none, whatever sequences they reached', async () => {
    await rig.insert(3);
    await rig.plan({ ordering: 'key', positions: [1, 2], first: 700 });
    await rig.plan({ ordering: 'key', positions: [3], first: 650 });
    const lane = { stream: 'a', settledTo: 900, settledBatch: 1 };
    expect(await rig.empty(0, [lane])).toEqual({ kind: 'unsettled', rows: 1, streams: ['a'] });
    expect(await rig.empty(0, [{ ...lane, settledBatch: 2 }])).toEqual({ kind: 'emptied' });
  });

  test('in as many streams as there are; one that is no lane any more is settled as far as its log says', async () => {
    await rig.insert(4);
    await rig.plan({ stream: 'a', positions: [1] });
    await rig.plan({ stream: 'b', positions: [2, 3] });
    await rig.plan({ stream: 'c', ordering: 'none', positions: [4] });
    const lanes = [settledTo(1), settledBatch(1, 'c')];
    expect(await rig.empty(0, lanes)).toEqual({ kind: 'unsettled', rows: 2, streams: ['b'] });
    await rig.plan({ stream: 'b', settledTo: 2, readTo: 4 }); // An empty row: what it knew when it was stopped.
    expect(await rig.empty(0, lanes)).toEqual({ kind: 'emptied' });
  });

  test('the latest plan of an event decides: one that lost its slot is not stored by having had it', async () => {
    await rig.insert(3);
    await rig.plan({ positions: [1, 2, 3] });
    await rig.plan({ kind: 'again', positions: [2] });
    expect(await rig.empty(0, [settledTo(3)])).toEqual({ kind: 'unsettled', rows: 1, streams: ['a'] });
    expect(await rig.empty(0, [settledTo(4)])).toEqual({ kind: 'emptied' });
  });

  test('a retry of a parked event is waited for as well', async () => {
    await rig.insert(2);
    await rig.plan({ positions: [1], parked: [2] });
    await rig.plan({ kind: 'retry', positions: [2] });
    expect(await rig.empty(0, [settledTo(1)])).toEqual({ kind: 'unsettled', rows: 1, streams: ['a'] });
    expect(await rig.empty(0, [settledTo(2)])).toEqual({ kind: 'emptied' });
  });

  test('rows of an older incarnation count as settled: what was not is planned again in the newer one', async () => {
    await rig.insert(3);
    await rig.plan({ positions: [1, 2, 3], first: 5_000 });
    await rig.plan({ incarnation: 'i2', kind: 'again', positions: [3], first: 1 });
    expect(await rig.empty(0, [settledTo(0)])).toEqual({ kind: 'unsettled', rows: 1, streams: ['a'] });
    expect(await rig.empty(0, [settledTo(1)])).toEqual({ kind: 'emptied' });
  });

  test('a marker or a place where an event was found, written later into an older plan, says nothing about that plan', async () => {
    await rig.insert(3);
    await rig.plan({ positions: [1, 2, 3] });
    await rig.plan({ kind: 'found', positions: [1], first: 1 });
    await rig.plan({ kind: 'marker', positions: [2], first: 2 });
    expect(await rig.empty(0, [settledTo(2)])).toEqual({ kind: 'unsettled', rows: 3, streams: ['a'] });
    expect(await rig.empty(0, [settledTo(3)])).toEqual({ kind: 'emptied' });
  });

  test('what had no slots before the lane got some is planned again where it was not stored', async () => {
    await rig.insert(3);
    await rig.plan({ ordering: 'key', positions: [1, 2], first: 700 });
    await rig.plan({ kind: 'again', positions: [2], first: 20 });
    await rig.plan({ positions: [3], first: 21 });
    expect(await rig.empty(0, [settledTo(19)])).toEqual({ kind: 'unsettled', rows: 2, streams: ['a'] });
    expect(await rig.empty(0, [settledTo(21)])).toEqual({ kind: 'emptied' });
  });

  test('slots from before a lane had none are settled by their batches, not by what was stored since', async () => {
    await rig.insert(2);
    await rig.plan({ positions: [1], first: 10 });
    await rig.plan({ ordering: 'key', positions: [2] });
    const lane = { stream: 'a', settledTo: 500, settledBatch: 0 };
    expect(await rig.empty(0, [lane])).toEqual({ kind: 'unsettled', rows: 2, streams: ['a'] });
    expect(await rig.empty(0, [{ ...lane, settledBatch: 2 }])).toEqual({ kind: 'emptied' });
  });
});

describe('rows that no plan holds', () => {
  test('keep the leaf until they are planned and settled', async () => {
    await rig.insert(6);
    await rig.plan({ positions: [1, 2, 4, 6] });
    const outcome = await rig.empty(0, [settledTo(4)]);
    expect(outcome).toMatchObject({
      kind: 'uncovered',
      rows: 2,
      found: { rows: [{ position: 3, segment: 0, subject: 'a.b' }, { position: 5 }] },
    });
    await rig.plan({ positions: [3, 5] });
    expect(await rig.empty(0, [settledTo(5)])).toEqual({ kind: 'unsettled', rows: 2, streams: ['a'] });
    expect(await rig.empty(0, [settledTo(6)])).toEqual({ kind: 'emptied' });
  });

  test.each([-7, 2, 1_000_000, '9223372036854775807'])(
    'are noticed when they come after the leaf was compared: at %s, between or beside 1 and 3',
    async (late) => {
      await rig.insert(2, { positions: [1, 3] });
      await rig.plan({ positions: [1, 3] });
      expect(await rig.empty(0, [settledTo(1)])).toMatchObject({ kind: 'unsettled' });
      await rig.admin.query(
        `insert into postcommit.outbox (position, segment, subject, payload) overriding system value values ($1, 0, 'a', '')`,
        [late],
      );
      expect(await rig.empty(0, [settledTo(2)])).toEqual({ kind: 'busy' });
      expect(await rig.empty(0, [settledTo(2)])).not.toEqual({ kind: 'emptied' });
      expect(await rig.rowsIn(0)).toBe(3);
    },
  );

  test('include an event at a position whose plan means an earlier one, and not one that is only young', async () => {
    await rig.insert(2, { segment: 1 });
    await rig.plan({ positions: [1, 2] });
    await rig.admin.query("update postcommit.batches set planned_at = planned_at - interval '1 minute'");
    // Inserted before it was planned, whatever the clocks said.
    expect(await rig.empty(1, [settledTo(2)])).toEqual({ kind: 'emptied' });
    await rig.insert(1, { segment: 2, positions: [2] });
    expect(await rig.empty(2, [settledTo(2)])).toMatchObject({ kind: 'uncovered', rows: 1 });
    await rig.plan({ positions: [2] });
    expect(await rig.empty(2, [settledTo(3)])).toEqual({ kind: 'emptied' });
  });
});

describe('dead letters', () => {
  async function letter(position: number, state: string, payload: string | null = null) {
    await rig.admin.query(
      `insert into postcommit.dead_letters (stream, position, event_id, subject, state, reason, payload)
       select 'a', position, event_id::text, 'known', $2, 'too large', $3 from postcommit.outbox where position = $1`,
      [position, state, payload],
    );
  }

  test('take the content of their rows with them, those that still need it', async () => {
    await rig.insert(6);
    await rig.admin.query(
      `update postcommit.outbox set key = 'k', type = 't', headers = '{"h": "1"}' where position = 1`,
    );
    const states = ['parked', 'held', 'marking', 'retrying', 'discarded', 'resolved'];
    for (const [i, state] of states.entries()) await letter(i + 1, state);
    await rig.plan({ parked: [1, 2, 3, 4, 5, 6] });
    expect(await rig.empty(0)).toEqual({ kind: 'emptied' });
    const { rows } = await rig.admin.query(
      `select state, subject, key, type, headers, convert_from(payload, 'UTF8') as payload
         from postcommit.dead_letters order by position`,
    );
    expect(rows.map(({ state, payload }) => [state, payload])).toEqual(
      states.map((state, i) => [state, i < 4 ? String(i + 1) : null]),
    );
    expect(rows[0]).toMatchObject({ subject: 'a.b', key: 'k', type: 't', headers: { h: '1' } });
  });

  test('however many there are', async () => {
    const positions = await rig.insert(450);
    await rig.admin.query(
      `insert into postcommit.dead_letters (stream, position, event_id, subject, reason)
       select 'a', position, event_id::text, subject, 'too large' from postcommit.outbox`,
    );
    await rig.plan({ parked: positions });
    expect(await rig.empty(0)).toEqual({ kind: 'emptied' });
    const { rows } = await rig.admin.query(
      'select count(payload)::int as kept, count(*)::int as all from postcommit.dead_letters',
    );
    expect(rows).toEqual([{ kept: 450, all: 450 }]);
  });

  test('are not emptied away while somebody else decides about one', async () => {
    await rig.insert(1);
    await letter(1, 'parked');
    await rig.plan({ parked: [1] });
    const operator = await rig.connect();
    await operator.query('begin');
    await operator.query("update postcommit.dead_letters set state = 'retrying'");
    expect(await rig.empty(0)).toEqual({ kind: 'busy' });
    await operator.query('commit');
    expect(await rig.empty(0)).toEqual({ kind: 'emptied' });
  });
});

test('behind a transaction pooler it is the same', async () => {
  const session = await rig.openSession({ pooled: true });
  await rig.insert(3);
  await rig.plan({ positions: [1, 2] });
  const check = createLeafCheck(session, 0);
  const options = { epoch: 1, settled: [settledTo(3)], budgetMs: 10_000 };
  expect(await check.emptyIfStored(options)).toMatchObject({ kind: 'uncovered', rows: 1 });
  await rig.plan({ positions: [3] });
  const reader = await rig.connect();
  await reader.query('begin; lock table postcommit.outbox_0 in access share mode');
  expect(await check.emptyIfStored(options)).toEqual({ kind: 'busy' });
  await reader.query('commit');
  expect(await check.emptyIfStored(options)).toEqual({ kind: 'emptied' });
  expect(await rig.rowsIn(0)).toBe(0);
});

test('an older epoch empties nothing', async () => {
  await rig.insert(1);
  await rig.plan({ positions: [1] });
  await rig.admin.query('update postcommit.lease set epoch = 2');
  expect(await rig.empty(0, [settledTo(1)])).toEqual({ kind: 'fenced' });
  expect(await rig.rowsIn(0)).toBe(1);
});

describe('the log', () => {
  /** Ten thousand rows of one event each, all settled. */
  async function longLog(stream: string, ordering = 'stream') {
    await rig.admin.query(
      `insert into postcommit.batches (stream, incarnation, batch, epoch, ordering, kind, first_sequence, last_sequence,
         positions, read_to, open_from, settled_batch)
       select $1, 'i1', i, 1, $2, 'new', i, i, int8multirange(int8range(i, i, '[]')), i, i + 1, i - 1
         from generate_series(1, 10000) i`,
      [stream, ordering],
    );
  }
  async function prune(lanes: Parameters<typeof settledLogs>[1], openFrom = 10_001, lowestRow?: number) {
    const counts: Record<string, number[]> = {};
    for (const log of settledLogs(await lastRows(rig.session), lanes)) {
      counts[log.stream] = [];
      for (let more = true; more; ) {
        const pruned = await pruneIfLeading(rig.session, log, { epoch: 1, openFrom, lowestRow });
        counts[log.stream]?.push(pruned.rows);
        more = pruned.more;
      }
    }
    return counts;
  }
  const left = async () => {
    const { rows } = await rig.admin.query(
      'select stream, min(batch)::int as first, count(*)::int as count from postcommit.batches group by stream order by stream',
    );
    return rows;
  };

  test('is pruned stream by stream in small transactions, but for the last slots and the newest row', async () => {
    await longLog('a');
    await longLog('b', 'key');
    expect(await prune([settledTo(10_000), settledBatch(10_000, 'b')])).toEqual({
      a: [5_000, 904],
      b: [5_000, 4_999],
    });
    expect(await left()).toEqual([
      { stream: 'a', first: 5_905, count: 4_096 },
      { stream: 'b', first: 10_000, count: 1 },
    ]);
  });

  test.each([
    ['a retained event names it', { lowestRow: 3_000 }, 3_000],
    ['a successor would read on from it', { openFrom: 2_000 }, 2_000],
    ['it is not settled', { settled: 1_500 }, 1_501],
  ])('keeps a row while %s', async (_, { lowestRow, openFrom, settled = 10_000 }: Keeping, first) => {
    await longLog('b', 'key');
    await prune([settledBatch(settled, 'b')], openFrom, lowestRow);
    expect(await left()).toEqual([{ stream: 'b', first, count: 10_001 - first }]);
  });
  interface Keeping {
    readonly lowestRow?: number;
    readonly openFrom?: number;
    readonly settled?: number;
  }

  test('of an older incarnation goes, its slots are no ground to stand on', async () => {
    await longLog('a');
    await rig.plan({ incarnation: 'i2', first: 1, readTo: 10_000 });
    await prune([settledTo(0)]);
    expect(await left()).toEqual([{ stream: 'a', first: 10_001, count: 1 }]);
  });

  test('is left alone by an older epoch, and while somebody else holds its rows', async () => {
    await longLog('b', 'key');
    await rig.admin.query('update postcommit.lease set epoch = 2');
    expect(await prune([settledBatch(10_000, 'b')])).toEqual({ b: [0] });
    await rig.admin.query('update postcommit.lease set epoch = 1');
    const other = await rig.connect();
    await other.query('begin');
    await other.query('lock table postcommit.batches in share row exclusive mode');
    const [log] = settledLogs(await lastRows(rig.session), [settledBatch(10_000, 'b')]);
    if (log === undefined) throw new Error('no log');
    expect(
      await pruneIfLeading(rig.session, log, { epoch: 1, openFrom: 10_001, lowestRow: undefined }),
    ).toEqual({
      rows: 0,
      more: true,
    });
  });
});
