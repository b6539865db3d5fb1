import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compare } from '../../src/consumer/delivery/agreement.ts';

interface Held {
  readonly id: string;
  /** Stored after what was recorded at its place: it came in the place of that. */
  readonly late: boolean;
}

/** An inbox and a stream as maps from places to ids. */
function stories(inbox: ReadonlyMap<number, readonly string[]>, stream: ReadonlyMap<number, Held>) {
  let looks = 0;
  return {
    looks: () => looks,
    recorded: async (upTo: number) => {
      looks++;
      return [...inbox.keys()]
        .filter((sequence) => sequence <= upTo)
        .sort((one, other) => other - one)
        .slice(0, 16);
    },
    witness: async (sequence: number) => {
      const held = stream.get(sequence);
      if (held === undefined) return undefined;
      const agrees = inbox.get(sequence)?.includes(held.id) ?? false;
      return { agrees, contradicts: !agrees && held.late };
    },
  };
}

function numbered(name: string, from: number, to: number): [number, string][] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => [from + i, `${name}-${from + i}`]);
}

const recorded = (entries: [number, string][]) => new Map(entries.map(([sequence, id]) => [sequence, [id]]));
const held = (entries: [number, string][], late = false) =>
  new Map(entries.map(([sequence, id]) => [sequence, { id, late }]));

test('one mind to the end, and nothing left in the stream: no reason to go back, and one look', async () => {
  const same = numbered('event', 1, 1000);
  const range = { lowest: 1, upTo: 1000, thorough: false };
  const equal = stories(recorded(same), held(same));
  expect(await compare(equal, range)).toEqual({ contradicted: false, agreed: 1000 });
  const empty = stories(recorded(same), new Map());
  expect(await compare(empty, range)).toEqual({ contradicted: false, agreed: undefined });
  expect([equal.looks(), empty.looks()]).toEqual([1, 1]);
});

test('ids of another scheme, stored before they were recorded, contradict nothing', async () => {
  const rig = stories(recorded(numbered('own', 1, 500)), held(numbered('event', 1, 500)));
  expect(await compare(rig, { lowest: 1, upTo: 500, thorough: false })).toEqual({
    contradicted: false,
    agreed: undefined,
  });
});

test('where everything was lost, nothing agrees; the lowest place is not jumped over', async () => {
  const inbox = recorded(numbered('former', 1001, 1060));
  const lost = stories(inbox, held(numbered('new', 1001, 1060), true));
  const range = { lowest: 1001, upTo: 1060, thorough: false };
  expect(await compare(lost, range)).toEqual({ contradicted: true, agreed: undefined });
  const first = new Map([
    ...held(numbered('new', 1002, 1060), true),
    ...held(numbered('former', 1001, 1001)),
  ]);
  expect(await compare(stories(inbox, first), range)).toEqual({ contradicted: true, agreed: 1001 });
});

test('what agrees above a contradiction vouches for nothing below it: a healed event in its old place', async () => {
  const inbox = recorded(numbered('event', 1, 15));
  const stream = new Map([...held(numbered('event', 1, 15)), ...held([[11, 'other']], true)]);
  expect(await compare(stories(inbox, stream), { lowest: 1, upTo: 15, thorough: false })).toEqual({
    contradicted: true,
    agreed: 10,
  });
});

test('whatever was recorded, deleted or grown since: a place named is at or before the true one', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        start: fc.integer({ min: 1, max: 300 }),
        kept: fc.integer({ min: 0, max: 600 }),
        lost: fc.integer({ min: 1, max: 600 }),
        grown: fc.integer({ min: 1, max: 600 }),
        recordedEvery: fc.integer({ min: 1, max: 7 }),
        deletedEvery: fc.integer({ min: 2, max: 9 }),
        thorough: fc.boolean(),
      }),
      async ({ start, kept, lost, grown, recordedEvery, deletedEvery, thorough }) => {
        const end = start + kept - 1;
        const before = [...numbered('kept', start, end), ...numbered('lost', end + 1, end + lost)];
        const inbox = recorded(before.filter(([sequence]) => sequence % recordedEvery === 0));
        const now = [
          ...held(numbered('kept', start, end)),
          ...held(numbered('new', end + 1, end + grown), true),
        ];
        const stream = new Map(now.filter(([sequence]) => sequence % deletedEvery !== 0));
        const upTo = end + Math.min(lost, grown);
        const lowest = Math.min(...inbox.keys());
        const { contradicted, agreed } = await compare(stories(inbox, stream), { lowest, upTo, thorough });
        if (agreed !== undefined) expect(inbox.get(agreed)).toEqual([stream.get(agreed)?.id]);
        if (contradicted) expect(agreed ?? 0).toBeLessThanOrEqual(end);
        const visible = [...inbox.keys()].filter((at) => at <= upTo && stream.has(at));
        // It is seen where the last places that can be compared differ.
        if ((visible.at(-1) ?? 0) > end && inbox.size <= 16) expect(contradicted).toBe(true);
        const known = visible.filter((at) => at <= end);
        if (contradicted && known.length > 0 && known[0] === lowest) expect(agreed).toBeDefined();
      },
    ),
    { numRuns: 1_000 },
  );
});
