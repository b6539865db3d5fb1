import { describe, expect, test } from 'vitest';
import type { Batch } from '../../src/batch-log/batch.ts';
import { amend, judgeLetters } from '../../src/relay/chain/amendments.ts';
import type { Reconciliation } from '../../src/relay/chain/reconcile.ts';
import { createLaneLetters } from '../../src/relay/lane/lane-letters.ts';
import { createLaneLog } from '../../src/relay/lane/lane-log.ts';
import { placementOf } from '../../src/relay/lane/placement.ts';
import { batchRow } from './batch-row.ts';

function reconciliation(rows: readonly Batch[], more: Partial<Reconciliation> = {}): Reconciliation {
  return {
    decided: 0,
    settledTo: null,
    refill: [],
    displaced: [],
    found: [],
    placement: placementOf(rows),
    foreign: 0,
    strays: 0,
    unplanned: [],
    highestPosition: 0,
    lost: 0,
    newlySettled: 0,
    ...more,
  };
}

function logBehind(last: Batch, settledTo: number | null) {
  const settled = () => ({ settledTo, settledBatch: null });
  const log = createLaneLog({ stream: 's', ordering: 'stream', epoch: 2, settled });
  log.restart(last, 'i');
  return log;
}

describe('what a comparison adds to the log', () => {
  const last = batchRow('new', 1, [1, 2], { readTo: 2, openFrom: 3 });
  const slots = [1, 2].map((position) => ({
    sequence: position,
    position,
    replay: false,
    prefix: null,
    what: 'event' as const,
    unlogged: false,
  }));

  test('that less is stored than the newest row says, behind the end of the plan', () => {
    const { rows } = amend(logBehind(last, null), reconciliation([last]), { slots, believed: 2 });
    expect(rows).toMatchObject([
      { kind: 'new', batch: 2, firstSequence: 3, lastSequence: 2, settledTo: null, positions: [], readTo: 2 },
    ]);
  });

  test('new slots for what lost its own: a row for the events, and one for the copies of each prefix', () => {
    const displaced = [
      { position: 1, replay: false, prefix: null },
      { position: 1, replay: true, prefix: 'b' },
      { position: 2, replay: true, prefix: 'a' },
      { position: 3, replay: true, prefix: null },
      { position: 4, replay: true, prefix: 'a' },
    ];
    const compared = reconciliation([last], { decided: 9, settledTo: 9, displaced });
    const { rows, refill } = amend(logBehind(last, 9), compared, { slots: [], believed: 2 });
    expect(rows.map((row) => [row.kind, row.subjectPrefix, row.firstSequence, row.positions])).toEqual([
      ['again', null, 10, [1, 1]],
      ['replay', null, 11, [3, 3]],
      ['replay', 'a', 12, [2, 2, 4, 4]],
      ['replay', 'b', 14, [1, 1]],
    ]);
    expect(refill.map(({ sequence, position, prefix }) => [sequence, position, prefix])).toEqual([
      [10, 1, null],
      [11, 3, null],
      [12, 2, 'a'],
      [13, 4, 'a'],
      [14, 1, 'b'],
    ]);
  });

  test('nothing, if as much is stored as it says', () => {
    const compared = reconciliation([last], { decided: 2, settledTo: 2 });
    expect(amend(logBehind(last, 2), compared, { slots: [], believed: 2 }).rows).toEqual([]);
  });
});

describe('a letter whose leader died before it wrote down what became of it', () => {
  const fatesOf = (rows: readonly Batch[]) => {
    const letters = createLaneLetters({ stream: 's', policy: 'skip', atMost: 10 });
    letters.restart([{ id: 1, position: 1, key: null, state: 'marking', outcome: 'refused' }]);
    judgeLetters(reconciliation(rows, { decided: 2 }), letters);
    return letters.takeFates();
  };
  const planned = batchRow('new', 1, [1, 2], { readTo: 2, openFrom: 3 });
  const marked = batchRow('marker', 1, [1]);

  test('is parked once its marker is stored', () => {
    expect(fatesOf([planned, marked])).toEqual({ marked: [1], stored: [] });
  });

  test('is over when the log says that the event was found: it was quicker than its marker', () => {
    expect(fatesOf([planned, marked, batchRow('found', 1, [1])])).toEqual({ marked: [], stored: [1] });
  });

  test('is parked if its rows are settled for so long that they are not read any more', () => {
    expect(fatesOf([])).toEqual({ marked: [1], stored: [] });
  });
});
