import { expect, test } from 'vitest';
import { createDuplicates } from '../../src/relay/keys/duplicates.ts';

test('what is called a duplicate waits for others while more is under way, and no longer', () => {
  const duplicates = createDuplicates();
  expect(duplicates.isDue(0)).toBe(false);
  duplicates.note(1);
  expect(duplicates.isDue(5)).toBe(false);
  expect(duplicates.isDue(0)).toBe(true);
  for (let position = 2; position <= 256; position++) duplicates.note(position);
  expect(duplicates.isDue(5)).toBe(true);
});

test('an id is used up if the broker knows it and the stream does not hold the event', () => {
  const duplicates = createDuplicates();
  duplicates.note(1);
  duplicates.note(2);
  duplicates.judge(new Map([[1, 40]]));
  expect([1, 2, 3].map(duplicates.isIdUsed)).toEqual([false, true, false]);
  expect(duplicates.isDue(0)).toBe(false);
  duplicates.done(2);
  expect(duplicates.isIdUsed(2)).toBe(false);
});
