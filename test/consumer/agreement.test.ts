import fc from 'fast-check';
import { expect, test } from 'vitest';
import { agreedUpTo } from '../../src/consumer/delivery/agreement.ts';

/** An inbox and a stream as maps from places to ids. */
function stories(inbox: ReadonlyMap<number, readonly string[]>, stream: ReadonlyMap<number, string>) {
  return {
    recorded: async (upTo: number) =>
      [...inbox]
        .filter(([sequence]) => sequence <= upTo)
        .sort(([one], [other]) => other - one)
        .slice(0, 16)
        .map(([sequence, ids]) => ({ sequence, eventIds: new Set(ids) })),
    stored: async (sequence: number) => stream.get(sequence),
  };
}

function numbered(name: string, from: number, to: number): [number, string][] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => [from + i, `${name}-${from + i}`]);
}

const alone = (entries: [number, string][]) => new Map(entries.map(([sequence, id]) => [sequence, [id]]));

test('one mind to the end, nothing recorded, and nothing left in the stream: no reason to go back', async () => {
  const same = numbered('event', 1, 1000);
  const range = { first: 1, upTo: 1000 };
  expect(await agreedUpTo(stories(alone(same), new Map(same)), range)).toBeUndefined();
  expect(await agreedUpTo(stories(new Map(), new Map(same)), range)).toBeUndefined();
  expect(await agreedUpTo(stories(alone(same), new Map()), range)).toBeUndefined();
});

test('where everything differs, it begins with what the stream holds first', async () => {
  const inbox = alone(numbered('former', 1, 5000));
  const stream = new Map(numbered('new', 300, 5000));
  expect(await agreedUpTo(stories(inbox, stream), { first: 300, upTo: 5000 })).toBe(299);
});

test('whatever was recorded, deleted or grown since: never behind the true place, and undefined only if nothing shows', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        kept: fc.integer({ min: 0, max: 600 }),
        lost: fc.integer({ min: 1, max: 600 }),
        grown: fc.integer({ min: 1, max: 600 }),
        recordedEvery: fc.integer({ min: 1, max: 7 }),
        deletedEvery: fc.integer({ min: 2, max: 9 }),
      }),
      async ({ kept, lost, grown, recordedEvery, deletedEvery }) => {
        const before = [...numbered('kept', 1, kept), ...numbered('lost', kept + 1, kept + lost)];
        const inbox = alone(before.filter(([sequence]) => sequence % recordedEvery === 0));
        const now = [...numbered('kept', 1, kept), ...numbered('new', kept + 1, kept + grown)];
        const stream = new Map(now.filter(([sequence]) => sequence % deletedEvery !== 0));
        const upTo = kept + Math.min(lost, grown);
        const agreed = await agreedUpTo(stories(inbox, stream), { first: 1, upTo });
        const differs = [...inbox.keys()].some((at) => at > kept && at <= upTo && stream.has(at));
        if (agreed !== undefined) expect(agreed).toBeLessThanOrEqual(kept);
        // Only the last places are compared: what agrees there vouches for what lies below.
        else expect(differs).toBe(false);
      },
    ),
    { numRuns: 500 },
  );
});
