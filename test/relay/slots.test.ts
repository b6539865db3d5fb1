import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createSlots, type Slots } from '../../src/relay/chain/slots.ts';
import { bytesOf, type Cargo, repeated } from '../../src/relay/lane/cargo.ts';

function cargo(position: number, bytes = position % 7): Cargo {
  return repeated({
    position,
    eventId: String(position),
    subject: 'a',
    key: null,
    type: null,
    headers: null,
    payload: new Uint8Array(bytes),
    createdAtMs: 0,
  });
}

test('slots follow the decided sequence without holes', () => {
  const slots = createSlots();
  slots.restart(41);
  expect([slots.head, slots.end, slots.pending]).toEqual([42, 41, 0]);
  slots.append([cargo(7)]);
  slots.append([cargo(3), cargo(9)]);
  expect(slots.end).toBe(44);
  expect([slots.next(), slots.next(), slots.next(), slots.next()]).toEqual([
    { sequence: 42, cargo: cargo(7) },
    { sequence: 43, cargo: cargo(3) },
    { sequence: 44, cargo: cargo(9) },
    undefined,
  ]);
});

test('of copies nobody says that they are late', () => {
  const slots = createSlots();
  const copy = { ...cargo(1), copy: true } as Cargo;
  slots.append([copy, { kind: 'marker', position: 2, eventId: 'id' }]);
  expect(slots.oldest).toBeUndefined();
  slots.append([cargo(3)]);
  expect(slots.oldest).toEqual(cargo(3));
});

test('an acknowledgement settles its slot once, and none beside the plan', () => {
  const slots = createSlots(10);
  slots.append([cargo(1), cargo(2)]);
  expect(slots.settle(10)).toBeUndefined();
  expect(slots.settle(13)).toBeUndefined();
  expect(slots.settle(12)).toEqual(cargo(2));
  expect(slots.settle(12)).toBeUndefined();
  expect([slots.head, slots.pending]).toEqual([11, 2]);
  expect(slots.settle(11)).toEqual(cargo(1));
  expect([slots.head, slots.pending, slots.pendingBytes]).toEqual([13, 0, 0]);
});

/** The same with plain maps and no compaction. */
function createModel(decided: number) {
  const events = new Map<number, Cargo>();
  const settled = new Set<number>();
  let end = decided;
  let sent = decided;
  const head = () => {
    let sequence = decided + 1;
    while (settled.has(sequence)) sequence++;
    return sequence;
  };
  return {
    append(added: readonly Cargo[]) {
      for (const one of added) events.set(++end, one);
    },
    next: () => (sent < end ? { sequence: ++sent, cargo: events.get(sent) } : undefined),
    settle(sequence: number) {
      if (!events.has(sequence) || settled.has(sequence)) return undefined;
      settled.add(sequence);
      return events.get(sequence);
    },
    facts() {
      const waiting = [...events].filter(([sequence]) => !settled.has(sequence));
      return {
        head: head(),
        end,
        pending: end - head() + 1,
        pendingBytes: waiting.reduce((sum, [, one]) => sum + bytesOf(one), 0),
        oldest: events.get(head()),
      };
    },
  };
}

function factsOf({ head, end, pending, pendingBytes, oldest }: Slots) {
  return { head, end, pending, pendingBytes, oldest };
}

/** Both side by side: whatever one answers, the other must. */
function createPair(decided: number) {
  const slots = createSlots(decided);
  const model = createModel(decided);
  let position = 0;
  let sentTo = decided;
  /** The broker acknowledges nothing that was not sent. */
  const settle = (sequence: number) => {
    if (sequence <= sentTo) expect(slots.settle(sequence)).toBe(model.settle(sequence));
  };
  return {
    append(count: number) {
      const added = Array.from({ length: count }, () => cargo(++position));
      slots.append(added);
      model.append(added);
    },
    send(count: number) {
      for (let i = 0; i < count; i++) {
        const slot = slots.next();
        expect(slot).toEqual(model.next());
        sentTo = slot?.sequence ?? sentTo;
      }
    },
    settleAround(offsets: readonly number[]) {
      for (const offset of offsets) settle(slots.head + offset);
    },
    settleRun(count: number) {
      for (let i = 0; i < count && slots.pending > 0; i++) settle(slots.head);
    },
    agree: () => expect(factsOf(slots)).toEqual(model.facts()),
  };
}

test('appending, sending and settling in any order, over thousands of slots', () => {
  type Action = (pair: ReturnType<typeof createPair>) => void;
  const upTo = (max: number) => fc.integer({ min: 1, max });
  const action = fc.oneof(
    upTo(900).map(
      (count): Action =>
        (pair) =>
          pair.append(count),
    ),
    upTo(900).map(
      (count): Action =>
        (pair) =>
          pair.send(count),
    ),
    // In the order in which a broker answers: nearly sorted, with repeats.
    fc.array(fc.integer({ min: -3, max: 40 })).map(
      (offsets): Action =>
        (pair) =>
          pair.settleAround(offsets),
    ),
    upTo(1_500).map(
      (count): Action =>
        (pair) =>
          pair.settleRun(count),
    ),
  );
  fc.assert(
    fc.property(fc.nat(1_000), fc.array(action, { maxLength: 40 }), (decided, actions) => {
      const pair = createPair(decided);
      for (const act of actions) {
        act(pair);
        pair.agree();
      }
    }),
    { numRuns: 50 },
  );
});
