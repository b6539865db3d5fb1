import { expect, test } from 'vitest';
import type { StoredEvent } from '../../src/event.ts';
import type { StreamState } from '../../src/jetstream/index.ts';
import { createDrafter } from '../../src/relay/lane/drafter.ts';
import type { Replay } from '../../src/relay/lane/lane.ts';
import { createLaneLetters } from '../../src/relay/lane/lane-letters.ts';
import { createLaneLog } from '../../src/relay/lane/lane-log.ts';
import type { Outlet } from '../../src/relay/lane/outlet.ts';

const LIMIT = 500;

const eventAt = (position: number, bytes = 1) =>
  ({
    position,
    key: 'patient-1',
    eventId: `${position}`,
    subject: 's.event',
    type: null,
    headers: null,
    payload: Buffer.alloc(bytes),
    createdAtMs: 0,
  }) satisfies StoredEvent;

/** A lane that holds keys and publishes, with so many in flight. */
function createScene({ pending = 0, limit = LIMIT } = {}) {
  const stream = 's';
  const letters = createLaneLetters({ stream, policy: 'hold', atMost: 100 });
  const outlet = {
    gate: { state: { kind: 'flowing' } },
    pending,
    behind: 0,
    settledTo: null,
    settledBatch: null,
    bounds: (count: number, before = 0) => ({ first: 1 + before, last: before + count }),
    send: () => undefined,
  } as unknown as Outlet;
  const log = createLaneLog({ stream, ordering: 'stream', epoch: 1, settled: () => outlet });
  log.restart(undefined, 'created');
  const drafter = createDrafter({
    stream,
    outlet,
    log,
    letters,
    known: () => ({ state: { name: stream, maxMessageSize: -1 } as StreamState, atMs: performance.now() }),
    maxPayload: () => limit,
    cloudEvents: undefined,
    storedBefore: new Set(),
    slotted: true,
    restDue: () => false,
    changed: () => undefined,
  });
  const look = (events: readonly StoredEvent[]) =>
    drafter.draft({ events, misrouted: [], readTo: 10, openFrom: 11, checkpoint: false });
  return { letters, drafter, look };
}

const replayOf = (events: readonly StoredEvent[]): Replay => ({
  kind: 'replay',
  events,
  prefix: null,
  onRefused: () => undefined,
});

test('where keys hold, an event that comes while a retry is refused again waits behind it', () => {
  const { letters, drafter, look } = createScene();
  const [head, follower] = [eventAt(1, LIMIT + 1), eventAt(2)];
  letters.commit([
    letters.letterFor(head, { state: 'parked', outcome: 'refused', reason: 'too large' }),
    letters.heldLetter(follower),
  ]);
  void drafter.repeat({ kind: 'retry', events: [head, follower] }, new AbortController().signal);
  const draft = look([eventAt(3)]);
  if (typeof draft === 'string') throw new Error(draft);
  expect(draft.rows.flatMap(({ positions }) => positions)).toEqual([]);
  expect(draft.letters.map(({ position, state }) => [position, state])).toEqual([
    [1, 'parked'],
    [2, 'held'],
    [3, 'held'],
  ]);
});

test('where keys hold, copies neither wait behind a dead event nor become letters; what does not fit is left out', async () => {
  const limit = 5_000;
  const { letters, drafter, look } = createScene({ limit });
  letters.commit([
    letters.letterFor(eventAt(1), { state: 'parked', outcome: 'refused', reason: 'too large' }),
  ]);
  let refused = 0;
  const repeated = drafter.repeat(
    {
      ...replayOf([eventAt(2), eventAt(3, limit), eventAt(4)]),
      prefix: 'again',
      onRefused(count) {
        refused = count;
      },
    },
    new AbortController().signal,
  );
  const draft = look([]);
  if (typeof draft === 'string') throw new Error(draft);
  expect(draft.rows).toMatchObject([{ kind: 'replay', subjectPrefix: 'again', positions: [2, 2, 4, 4] }]);
  expect(draft.letters).toEqual([]);
  draft.commit();
  expect([await repeated, refused]).toEqual(['planned', 1]);
});

test('a request whose time is over while another draft is being written is given back after it', async () => {
  const { drafter, look } = createScene({ pending: 1 });
  const draft = look([eventAt(3)]);
  if (typeof draft === 'string') throw new Error(draft);
  const patience = new AbortController();
  const repeated = drafter.repeat(replayOf([eventAt(1)]), patience.signal);
  patience.abort();
  expect(drafter.repeatsWait).toBe(true);
  draft.commit();
  expect(await repeated).toBe('later');
  expect(drafter.repeatsWait).toBe(false);
});
