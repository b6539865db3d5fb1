import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { SCENES } from '../chaos/scenes/index.ts';
import { CATALOGUE } from './catalogue.ts';

// `npm run planted-bugs` plays them; here only that they still fit the sources.

test.each(CATALOGUE.map((bug) => [bug.name, bug] as const))('%s can be planted', (_, { edits, scenes }) => {
  for (const { file, search, replace } of edits) {
    const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
    expect(text.split(search), file).toHaveLength(2);
    expect(replace).not.toBe(search);
  }
  const known = SCENES.map(({ name }) => name);
  for (const scene of scenes) expect(known).toContain(scene);
});

test('no two bugs have the same name', () => {
  expect(new Set(CATALOGUE.map(({ name }) => name)).size).toBe(CATALOGUE.length);
});
