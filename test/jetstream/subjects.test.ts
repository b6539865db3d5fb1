import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  checkSubjectPattern,
  patternCovers,
  patternsCover,
  subjectMatches,
} from '../../src/jetstream/index.ts';

test.each([
  ['a.b', 'a.b', true],
  ['a.b', 'a.c', false],
  ['a.b', 'a.b.c', false],
  ['a.*', 'a.b', true],
  ['a.*', 'a', false],
  ['a.*', 'a.b.c', false],
  ['a.>', 'a.b.c', true],
  ['a.>', 'a', false],
  ['>', 'a', true],
  ['*.b', 'a.b', true],
  ['a.b*', 'a.bc', false],
])('%s takes %s: %s', (pattern, subject, expected) => {
  expect(subjectMatches(pattern, subject)).toBe(expected);
});

test.each([
  ['a.>', 'a.*', true],
  ['a.>', 'a.>', true],
  ['a.>', 'a.b.>', true],
  ['a.*', 'a.>', false],
  ['a.*', 'a.*', true],
  ['a.b', 'a.*', false],
  ['>', '>', true],
  ['a.*.>', 'a.>', false],
])('%s covers %s: %s', (wide, narrow, expected) => {
  expect(patternCovers(wide, narrow)).toBe(expected);
});

test('patterns cover together what none covers alone', () => {
  expect(patternsCover(['a.*', 'a.*.>'], 'a.>')).toBe(true);
  expect(patternsCover(['a.*', 'a.*.*.>'], 'a.>')).toBe(false);
  expect(patternsCover(['a.b', 'a.c'], 'a.*')).toBe(false);
  expect(patternsCover([], 'a')).toBe(false);
});

const token = fc.constantFrom('a', 'b', '*');
const pattern = fc
  .tuple(fc.array(token, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([tokens, tail]) => [...tokens, ...(tail ? ['>'] : [])].join('.'));
/** Every combination of the patterns' tokens and one that no pattern names, longer than any pattern by one. */
const subjects = Array.from({ length: 4 })
  .reduce<string[][]>(
    (lengths) => [...lengths, (lengths.at(-1) ?? []).flatMap((s) => ['a', 'b', 'x'].map((t) => `${s}.${t}`))],
    [['a', 'b', 'x']],
  )
  .flat();

test('covering means matching every subject the other matches', () => {
  fc.assert(
    fc.property(fc.array(pattern, { minLength: 1, maxLength: 3 }), pattern, (wide, narrow) => {
      const matched = subjects.filter((subject) => subjectMatches(narrow, subject));
      const all = matched.every((subject) => wide.some((one) => subjectMatches(one, subject)));
      expect(patternsCover(wide, narrow)).toBe(all);
    }),
    { numRuns: 500 },
  );
});

test.each(['events.>', 'a', 'a.*.b', '>', 'größe.*'])('%s can be captured', (text) => {
  expect(checkSubjectPattern(text)).toBeUndefined();
});

test.each([
  ['', 'empty'],
  ['a b', 'blank'],
  ['a\u0000', 'control'],
  ['a..b', 'empty token'],
  ['.a', 'empty token'],
  ['a.', 'empty token'],
  ['a.>.b', 'not the last'],
  ['a.b*', 'part of the token'],
  ['a.b>', 'part of the token'],
  ['$JS.>', "server's own"],
])('%j is refused: %s', (text, reason) => {
  expect(checkSubjectPattern(text)).toContain(reason);
});
