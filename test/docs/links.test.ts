import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PAGES, proseOf, ROOT, readPage, samplesOf } from './pages.ts';

describe.each(PAGES)('%s', (page) => {
  test('leads nowhere but to what is there', () => {
    const broken = linksIn(page).filter((target) => !leadsSomewhere(page, target));
    expect(broken).toEqual([]);
  });

  test('names no file that is not there', () => {
    const named = [...proseOf(page).matchAll(/`((?:src|test|docs|migrations|bench|scripts)\/[\w./-]*)`/g)];
    expect(named.map(([, path = '']) => path).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});

test('every page is reached from the README', () => {
  const linked = new Set(linksIn('README.md').map((target) => target.split('#')[0]));
  expect(PAGES.filter((page) => page !== 'README.md' && !linked.has(page))).toEqual([]);
});

test('every sample is run, or is none of ours to run', () => {
  const known = new Set([
    'run',
    'refused',
    'config',
    'admin',
    'owner',
    'file',
    'polling',
    'debezium',
    'containers',
  ]);
  const unmarked = PAGES.flatMap(samplesOf).filter(
    ({ marks }) => ![...marks.keys()].some((mark) => known.has(mark)),
  );
  // Pictures, output, and commands with addresses that only a reader has.
  expect(unmarked.filter(({ language }) => !['mermaid', 'text', 'sh'].includes(language))).toEqual([]);
});

test('the invariants of the architecture page stand in the files it names', () => {
  const rows = [
    ...readPage('docs/architecture.md').matchAll(/^\| ([CRSPL]\d) \|.*\(\.\.\/([\w./-]+)\) \|$/gm),
  ];
  expect(rows.map(([, number]) => number)).toEqual(
    'C1 C2 C3 C4 R1 R2 R3 R4 S1 S2 S3 P1 P2 P3 L1 L2 L3 L4'.split(' '),
  );
  for (const [, number, path = ''] of rows)
    expect(readFileSync(join(ROOT, path), 'utf8'), path).toMatch(new RegExp(`\\*   ${number}  `));
});

function linksIn(page: string): string[] {
  return [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target));
}

function leadsSomewhere(page: string, target: string): boolean {
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? page : relative(ROOT, join(ROOT, dirname(page), path));
  if (!existsSync(join(ROOT, file))) return false;
  return anchor === undefined || anchorsOf(file).includes(anchor);
}

/** As GitHub makes them. */
function anchorsOf(page: string): string[] {
  return [...proseOf(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
