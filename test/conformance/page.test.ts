import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { codeIn, readPage, tableBelow } from '../docs/pages.ts';
import { CONSUMER_RULES } from './consumer/index.ts';
import { WRITER_RULES } from './writer/index.ts';

const PAGE = 'docs/protocol.md';
const RULES = [...WRITER_RULES, ...CONSUMER_RULES].map(({ id }) => id);

test('the rules of the page are those that are tried, and those that it says are not', () => {
  const page = readPage(PAGE);
  const numbered = [...page.matchAll(/^\*\*(P-[WMC]\d+)\*\* /gm)].map(([, id = '']) => id);
  expect(new Set(numbered).size).toBe(numbered.length);
  const untried: readonly string[] =
    /^Not tried by themselves: ([^.]*)\./m.exec(page)?.[1]?.match(/P-[WMC]\d+/g) ?? [];
  expect(numbered.filter((id) => !untried.includes(id)).sort()).toEqual([...RULES].sort());
});

test('the requests of the page are those that the script sends', () => {
  const source = readFileSync(new URL('driver.ts', import.meta.url), 'utf8');
  const sent = new Set([...source.matchAll(/readonly do: '([^']+)'/g)].map(([, name]) => name));
  const listed = ['Requests of a writer', 'Requests of a consumer']
    .flatMap((heading) => tableBelow(PAGE, heading))
    .flatMap(([request]) => codeIn(request))
    .flatMap((code) => /"do": "([^"]+)"/.exec(code)?.[1] ?? []);
  expect(new Set(listed)).toEqual(sent);
});

test('the constraints of the page are those of the outbox', () => {
  const migrations = ['0000_postcommit', '0006_nobody_shadows'].map((name) =>
    readFileSync(new URL(`../../migrations/${name}.sql`, import.meta.url), 'utf8'),
  );
  const raised = migrations.join().matchAll(/CONSTRAINT "?(outbox_\w+)"? CHECK/g);
  const listed = tableBelow(PAGE, 'What is refused').flatMap(([, constraints]) => codeIn(constraints));
  expect(listed.sort()).toEqual([...raised].map(([, name]) => name).sort());
});
