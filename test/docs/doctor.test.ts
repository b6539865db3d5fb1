import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CHECKS } from '../../src/doctor/index.ts';
import { codeIn, ROOT, tableBelow } from './pages.ts';

const PAGE = 'docs/doctor.md';
const rows = tableBelow(PAGE, 'Checks');

test('the table lists every check in its order, and what it looks at', () => {
  const listed = rows
    .filter(([name]) => name !== '')
    .map(([name, about]) => ({ name: codeIn(name)[0], about }));
  expect(listed).toEqual(CHECKS.map(({ name, about }) => ({ name, about })));
});

test('what checks say, and the fixes, are in the code', () => {
  const sources = ['src/doctor', 'src/outbox', 'src/postgres', 'src/migrate', 'src/jetstream']
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
        join(ROOT, folder, name),
      ),
    )
    .filter((path) => path.endsWith('.ts'))
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n');
  const said = rows.flatMap(([, , says, fix]) => [...codeIn(says), ...codeIn(fix)]);
  expect(said.length).toBeGreaterThan(100);
  expect(said.filter((words) => !sources.includes(words))).toEqual([]);
});

test('every row says something, and what ends it', () => {
  for (const [, , says, fix] of rows) expect([says, fix].every((cell) => (cell?.length ?? 0) > 3)).toBe(true);
});
