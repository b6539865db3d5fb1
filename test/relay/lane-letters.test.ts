import { expect, test } from 'vitest';
import type { StoredEvent } from '../../src/event.ts';
import { createLaneLetters, type LaneLetters } from '../../src/relay/lane/lane-letters.ts';

const eventAt = (position: number, key: string | null = 'a') =>
  ({ position, key, eventId: `${position}`, subject: 's', type: null }) as StoredEvent;

function holding(): LaneLetters {
  return createLaneLetters({ stream: 's', policy: 'hold', atMost: 100 });
}

/** Triages and writes down, as a lane does. Positions of those that get a slot, and of those that wait. */
function plan(letters: LaneLetters, positions: readonly number[], { refused = [] as number[] } = {}) {
  const triage = letters.triage(
    positions.map((position) => ({
      event: eventAt(position),
      ...(refused.includes(position) ? { fault: { outcome: 'refused', reason: 'too large' } as const } : {}),
    })),
  );
  if (!('events' in triage)) throw new Error(triage.reason);
  letters.commit(triage.letters);
  return {
    go: triage.events.map(({ position }) => position),
    wait: triage.letters.filter(({ state }) => state === 'held').map(({ position }) => position),
  };
}

test('what is retried waits for no letter behind it', () => {
  const letters = holding();
  plan(letters, [1, 2, 3, 4, 5], { refused: [1] });
  letters.retrying([1, 2, 3].map((position) => eventAt(position)));
  expect(plan(letters, [1, 2, 3])).toEqual({ go: [1, 2, 3], wait: [] });
  expect(plan(letters, [6])).toEqual({ go: [], wait: [6] });
});

test('what is retried waits behind a letter ahead of it', () => {
  const letters = holding();
  plan(letters, [1, 2, 3, 4], { refused: [1] });
  letters.retrying([3, 4].map((position) => eventAt(position)));
  expect(plan(letters, [3, 4])).toEqual({ go: [], wait: [3, 4] });
});

test('letters are stranded when the first of a key only waits, whatever became of the head', () => {
  const letters = holding();
  plan(letters, [1, 2], { refused: [1] });
  expect(letters.stranded).toBe(false);
  letters.discarded([1]);
  expect(letters.stranded).toBe(true);
  letters.retrying([eventAt(2)]);
  expect(letters.stranded).toBe(false);
});

test('letters are stranded when their head is stored after all, and once their own markers are', () => {
  const letters = holding();
  const marking = (position: number, outcome: 'refused' | 'held') =>
    letters.letterFor(eventAt(position), { state: 'marking', outcome, reason: 'it was refused' });
  letters.commit([marking(1, 'refused'), marking(2, 'held')]);
  letters.settled(1, 'event');
  expect(letters.stranded).toBe(false);
  letters.settled(2, 'marker');
  expect(letters.stranded).toBe(true);
});

test('a dead head in the same look holds up what is behind it, and nothing ahead of it or of another key', () => {
  const letters = holding();
  expect(plan(letters, [1, 2, 3, 4], { refused: [2] })).toEqual({ go: [1], wait: [3, 4] });
  const others = letters.triage([{ event: eventAt(5, 'b') }, { event: eventAt(6, null) }]);
  expect('events' in others && others.events).toHaveLength(2);
});

test('a restart remembers who waits', () => {
  const letters = holding();
  letters.restart([
    { id: 1, position: 1, key: 'a', state: 'retrying', outcome: 'refused' },
    { id: 2, position: 2, key: 'a', state: 'held', outcome: 'held' },
  ]);
  expect(letters.stranded).toBe(true);
  expect(letters.holds(eventAt(3))).toBe(true);
  expect(letters.holds(eventAt(1))).toBe(false);
});
