import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ReadBack } from '../../src/jetstream/index.ts';
import { judge } from '../../src/relay/chain/verdict.ts';
import { placementOf } from '../../src/relay/lane/placement.ts';
import { batchRow } from './batch-row.ts';

function message(sequence: number, position: number | null, source: string | null = 'us'): ReadBack {
  return { kind: 'message', sequence, source, position, eventId: null, skipped: null, subject: 'a' };
}

const lost = (position: number) => ({ position, replay: false, prefix: null });
const gone = (sequence: number): ReadBack => ({ kind: 'gone', sequence });

const event = (position: number) => ({ position, what: 'event', replay: false, prefix: null });
const marker = (position: number) => ({ position, what: 'marker', replay: false, prefix: null });
const voided = (position: number) => ({ position, what: 'void', replay: false, prefix: null });

describe('placement: where each event belongs, by the log', () => {
  test('event i of a plan belongs to its first sequence + i, in position order', () => {
    const { slots } = placementOf([batchRow('new', 10, [3, 4, 8]), batchRow('new', 13, [5])]);
    expect([...slots]).toEqual([
      [10, event(3)],
      [11, event(4)],
      [12, event(8)],
      [13, event(5)],
    ]);
  });

  test('an empty row says nothing about slots', () => {
    expect([...placementOf([batchRow('new', 10, [])]).slots]).toEqual([]);
  });

  test('`again` voids the older slot, `found` leaves none, and a later `again` gives one back', () => {
    const plan = batchRow('new', 10, [3, 4, 5]);
    const again = placementOf([plan, batchRow('again', 13, [4])]);
    expect([...again.slots]).toEqual([
      [10, event(3)],
      [11, voided(4)],
      [12, event(5)],
      [13, event(4)],
    ]);
    const found = placementOf([plan, batchRow('found', 20, [4])]);
    expect(found.slots.get(11)).toEqual(voided(4));
    expect(found.slots.has(20)).toBe(false);
    expect(found.places.get(4)).toBe(20);
    const back = placementOf([plan, batchRow('found', 20, [4]), batchRow('again', 21, [4])]);
    expect(back.slots.get(21)).toEqual(event(4));
  });

  test('a marker takes the slot of its event, which a retry then plans elsewhere', () => {
    const plan = batchRow('new', 10, [3, 4, 5]);
    const dead = placementOf([plan, batchRow('marker', 11, [4])]);
    expect(dead.slots.get(11)).toEqual(marker(4));
    expect(dead.markers).toEqual(new Map([[4, 11]]));
    const retried = placementOf([plan, batchRow('marker', 11, [4]), batchRow('retry', 13, [4])]);
    expect(retried.slots.get(11)).toEqual(marker(4));
    expect(retried.slots.get(13)).toEqual(event(4));
    expect(retried.places.get(4)).toBe(13);
  });

  test('a marker in a void slot fills it and stands for nobody', () => {
    const { slots, markers } = placementOf([
      batchRow('new', 10, [3, 4]),
      batchRow('again', 12, [3]),
      batchRow('marker', 10, [3]),
    ]);
    expect(slots.get(10)).toEqual(marker(3));
    expect(slots.get(12)).toEqual(event(3));
    expect(markers.size).toBe(0);
  });

  test('a marker`s event that was stored in its slot after all is found there', () => {
    const { slots, places } = placementOf([
      batchRow('new', 10, [3, 4]),
      batchRow('marker', 11, [4]),
      batchRow('retry', 12, [4]),
      batchRow('found', 11, [4]),
    ]);
    expect(slots.get(11)).toEqual(event(4));
    expect(slots.get(12)).toEqual(voided(4));
    expect(places.get(4)).toBe(11);
  });

  test('a replay is a copy: it moves nothing, and only the newest copy is repeated', () => {
    const { slots, places } = placementOf([
      batchRow('new', 10, [3, 4]),
      batchRow('replay', 12, [3]),
      batchRow('replay', 13, [3]),
    ]);
    expect(slots.get(10)).toEqual(event(3));
    expect(slots.get(12)).toEqual({ ...voided(3), replay: true });
    expect(slots.get(13)).toEqual({ ...event(3), replay: true });
    expect(places.get(3)).toBe(10);
  });

  test('copies under a prefix and those without stand side by side, and each replaces its own', () => {
    const { slots } = placementOf([
      batchRow('replay', 10, [3]),
      batchRow('replay', 11, [3], { subjectPrefix: 'again' }),
      batchRow('replay', 12, [3], { subjectPrefix: 'other' }),
      batchRow('replay', 13, [3], { subjectPrefix: 'again' }),
    ]);
    expect([...slots].map(([at, { what, prefix }]) => [at, what, prefix])).toEqual([
      [10, 'event', null],
      [11, 'void', 'again'],
      [12, 'event', 'other'],
      [13, 'event', 'again'],
    ]);
  });

  test('a marker in the slot of a copy stands for nobody, and keeps whose slot it was', () => {
    const { slots, markers } = placementOf([
      batchRow('new', 10, [3]),
      batchRow('replay', 11, [3], { subjectPrefix: 'again' }),
      batchRow('marker', 11, [3]),
    ]);
    expect(slots.get(11)).toEqual({ position: 3, what: 'marker', replay: true, prefix: 'again' });
    expect(markers.size).toBe(0);
  });
});

describe('verdict: what reading the stream back says', () => {
  const placement = placementOf([batchRow('new', 10, [3, 4, 5])]);

  test('the planned event at its place is ours, and so is what is gone already', () => {
    const verdict = judge(placement, [message(10, 3), gone(11), message(12, 5)], 'us');
    expect(verdict).toEqual({ ours: [10, 11, 12], found: [], foreign: [], displaced: [] });
  });

  test('another writer`s message takes a slot: its event is displaced', () => {
    const verdict = judge(placement, [message(10, null, null), message(11, 4), message(12, 5)], 'us');
    expect(verdict).toEqual({ ours: [11, 12], found: [], foreign: [10], displaced: [lost(3)] });
  });

  test('a message of another outbox with our position is a stranger`s', () => {
    const verdict = judge(placement, [message(10, 3, 'them')], 'us');
    expect(verdict).toEqual({ ours: [], found: [], foreign: [10], displaced: [lost(3)] });
  });

  test('our event at another sequence is found there, and not displaced', () => {
    const verdict = judge(placement, [message(10, 4), message(11, null, null), message(12, 5)], 'us');
    expect(verdict).toEqual({
      ours: [12],
      found: [{ position: 4, sequence: 10, eventId: null }],
      foreign: [11],
      displaced: [lost(3)],
    });
  });

  test('a position that was never planned is no event of this plan', () => {
    expect(judge(placement, [message(10, 77)], 'us').foreign).toEqual([10]);
  });

  test('what was logged as found is known, not found again', () => {
    const known = placementOf([batchRow('new', 10, [3, 4, 5]), batchRow('found', 13, [3])]);
    const verdict = judge(known, [message(10, null, null), message(11, 4), message(13, 3)], 'us');
    expect(verdict).toEqual({ ours: [11], found: [], foreign: [10], displaced: [] });
  });

  const markerAt = (sequence: number, position: number): ReadBack => ({
    kind: 'message',
    sequence,
    source: 'us',
    position,
    eventId: null,
    skipped: `id-${position}`,
    subject: 'a',
  });

  test('a marker where one was planned is ours; where none was, its slot is lost', () => {
    const marked = placementOf([batchRow('new', 10, [3, 4, 5]), batchRow('marker', 11, [4])]);
    expect(judge(marked, [message(10, 3), markerAt(11, 4), message(12, 5)], 'us')).toEqual({
      ours: [10, 11, 12],
      found: [],
      foreign: [],
      displaced: [],
    });
    expect(judge(placement, [markerAt(10, 3), message(11, 4)], 'us')).toEqual({
      ours: [11],
      found: [],
      foreign: [10],
      displaced: [lost(3)],
    });
  });

  test('the event itself in the slot of its marker is found there', () => {
    const marked = placementOf([batchRow('new', 10, [3, 4]), batchRow('marker', 11, [4])]);
    expect(judge(marked, [message(10, 3), message(11, 4)], 'us')).toEqual({
      ours: [10],
      found: [{ position: 4, sequence: 11, eventId: null }],
      foreign: [],
      displaced: [],
    });
  });

  test('a copy that lost its slot is planned again as a copy, an older copy is known', () => {
    const replayed = placementOf([
      batchRow('new', 10, [3]),
      batchRow('replay', 11, [3]),
      batchRow('replay', 12, [3]),
    ]);
    expect(judge(replayed, [message(10, 3), message(11, 3), message(12, null, null)], 'us')).toEqual({
      ours: [10],
      found: [],
      foreign: [12],
      displaced: [{ position: 3, replay: true, prefix: null }],
    });
  });

  const copyAt = (sequence: number, position: number, subject = 'again.a'): ReadBack => ({
    kind: 'message',
    sequence,
    source: 'us',
    position,
    eventId: null,
    skipped: null,
    subject,
  });

  test('a copy is known by its prefix: neither it nor its event is taken for the other', () => {
    const plan = placementOf([
      batchRow('again', 10, [3]),
      batchRow('replay', 11, [3], { subjectPrefix: 'again' }),
    ]);
    expect(judge(plan, [message(10, 3), copyAt(11, 3)], 'us', { copies: new Set([11]) })).toEqual({
      ours: [10, 11],
      found: [],
      foreign: [],
      displaced: [],
    });
    // Each in the other's slot, as late packets of a lane that had no slots might lie.
    expect(judge(plan, [copyAt(10, 3), message(11, 3)], 'us', { copies: new Set([10]) })).toEqual({
      ours: [],
      found: [{ position: 3, sequence: 11, eventId: null }],
      foreign: [10],
      displaced: [{ position: 3, replay: true, prefix: 'again' }],
    });
  });

  test('a copy out of its place is nobody`s, and never the event', () => {
    const messages = [copyAt(10, 5), message(11, 4), message(12, 5)];
    expect(judge(placement, messages, 'us', { copies: new Set([10]) })).toEqual({
      ours: [11, 12],
      found: [],
      foreign: [10],
      displaced: [lost(3)],
    });
  });

  test('a copy that was given up and is there all the same needs nothing more', () => {
    const givenUp = placementOf([
      batchRow('new', 10, [3]),
      batchRow('replay', 11, [3], { subjectPrefix: 'again' }),
      batchRow('marker', 11, [3]),
    ]);
    expect(judge(givenUp, [message(10, 3), copyAt(11, 3)], 'us', { copies: new Set([11]) })).toEqual({
      ours: [10, 11],
      found: [],
      foreign: [],
      displaced: [],
    });
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
          batchRow(
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
        const all = [...settled, ...displaced.map(({ position }) => position)].sort((a, b) => a - b);
        expect(all).toEqual(contents.map((_, i) => i + 1));
      }),
    );
  });
});
