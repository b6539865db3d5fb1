import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Batch, BatchKind } from '../../src/batch-log/batch.ts';
import type { ReadBack } from '../../src/jetstream/index.ts';
import { rangesOf } from '../../src/postgres/position-ranges.ts';
import { judge, placementOf } from '../../src/relay/verdict.ts';

function batch(kind: BatchKind, firstSequence: number, positions: readonly number[]): Batch {
  return {
    stream: 's',
    incarnation: 'i',
    batch: 1,
    epoch: 1,
    ordering: 'stream',
    kind,
    firstSequence,
    lastSequence: firstSequence + positions.length - 1,
    settledTo: null,
    positions: rangesOf(positions),
    parked: [],
    readTo: 0,
    openFrom: 1,
  };
}

function message(sequence: number, position: number | null, source: string | null = 'us'): ReadBack {
  return { kind: 'message', sequence, source, position, eventId: null, skipped: null, subject: 'a' };
}

const gone = (sequence: number): ReadBack => ({ kind: 'gone', sequence });

describe('placement: where each event belongs, by the log', () => {
  test('event i of a plan belongs to its first sequence + i, in position order', () => {
    const { slots } = placementOf([batch('new', 10, [3, 4, 8]), batch('new', 13, [5])]);
    expect([...slots]).toEqual([
      [10, 3],
      [11, 4],
      [12, 8],
      [13, 5],
    ]);
  });

  test('`again` voids the older slot, `found` leaves none, and a later `again` gives one back', () => {
    const plan = batch('new', 10, [3, 4, 5]);
    const again = placementOf([plan, batch('again', 13, [4])]);
    expect(again.slots).toEqual(
      new Map([
        [10, 3],
        [12, 5],
        [13, 4],
      ]),
    );
    const found = placementOf([plan, batch('found', 20, [4])]);
    expect(found.slots.has(11)).toBe(false);
    expect(found.slots.has(20)).toBe(false);
    expect(found.places.get(4)).toBe(20);
    const back = placementOf([plan, batch('found', 20, [4]), batch('again', 21, [4])]);
    expect(back.slots.get(21)).toBe(4);
  });

  test('rows of a newer version are refused instead of misread', () => {
    expect(() => placementOf([batch('marker', 10, [3])])).toThrow(/newer version/);
    expect(() => placementOf([batch('replay', 10, [3])])).toThrow(/newer version/);
  });
});

describe('verdict: what reading the stream back says', () => {
  const placement = placementOf([batch('new', 10, [3, 4, 5])]);

  test('the planned event at its place is ours, and so is what is gone already', () => {
    const verdict = judge(placement, [message(10, 3), gone(11), message(12, 5)], 'us');
    expect(verdict).toEqual({ ours: [10, 11, 12], found: [], foreign: [], displaced: [] });
  });

  test('another writer`s message takes a slot: its event is displaced', () => {
    const verdict = judge(placement, [message(10, null, null), message(11, 4), message(12, 5)], 'us');
    expect(verdict).toEqual({ ours: [11, 12], found: [], foreign: [10], displaced: [3] });
  });

  test('a message of another outbox with our position is a stranger`s', () => {
    const verdict = judge(placement, [message(10, 3, 'them')], 'us');
    expect(verdict).toEqual({ ours: [], found: [], foreign: [10], displaced: [3] });
  });

  test('our event at another sequence is found there, and not displaced', () => {
    const verdict = judge(placement, [message(10, 4), message(11, null, null), message(12, 5)], 'us');
    expect(verdict).toEqual({
      ours: [12],
      found: [{ position: 4, sequence: 10 }],
      foreign: [11],
      displaced: [3],
    });
  });

  test('a position that was never planned is no event of this plan', () => {
    expect(judge(placement, [message(10, 77)], 'us').foreign).toEqual([10]);
  });

  test('what was logged as found is known, not found again', () => {
    const known = placementOf([batch('new', 10, [3, 4, 5]), batch('found', 13, [3])]);
    const verdict = judge(known, [message(10, null, null), message(11, 4), message(13, 3)], 'us');
    expect(verdict).toEqual({ ours: [11], found: [], foreign: [10], displaced: [] });
  });

  test('whatever lies in the slots, each planned event is ours, found, or displaced, and only one of them', () => {
    const content = fc.oneof(
      fc.constant('gone' as const),
      fc.constant('foreign' as const),
      fc.integer({ min: 1, max: 12 }),
    );
    fc.assert(
      fc.property(fc.array(content, { minLength: 1, maxLength: 12 }), (contents) => {
        const plan = placementOf([
          batch(
            'new',
            1,
            Array.from({ length: contents.length }, (_, i) => i + 1),
          ),
        ]);
        // A stream in `stream` ordering cannot hold one event twice: the chain refuses the second.
        const seen = new Set<number>();
        const messages = contents.map((what, i) => {
          if (what === 'gone') return gone(i + 1);
          if (what === 'foreign' || seen.has(what) || contents[what - 1] === 'gone')
            return message(i + 1, null, null);
          seen.add(what);
          return message(i + 1, what);
        });
        const { ours, found, displaced } = judge(plan, messages, 'us');
        const settled = [...ours, ...found.map(({ position }) => position)].filter(
          (p) => p <= contents.length,
        );
        const all = [...settled, ...displaced].sort((a, b) => a - b);
        expect(all).toEqual(contents.map((_, i) => i + 1));
      }),
    );
  });
});
