import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BENCHES } from '../../bench/benches.ts';
import { wordsOf } from '../../bench/report/host.ts';
import type { BenchReport } from '../../bench/report/report.ts';
import { isMet } from '../../bench/report/result.ts';
import { tableOf } from '../../bench/report/table.ts';
import { ROOT, readPage, sampleMarked } from './pages.ts';

const PAGE = 'docs/performance.md';
const FOLDER = join(ROOT, 'docs', 'performance');
const report = (name: string) => JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) as BenchReport;

test.each([
  ['all', 'bench.json'],
  ['scale', 'scale.json'],
])('the figures of the page are those of the run that is kept: %s', (mark, name) => {
  const kept = report(name);
  const sample = sampleMarked(PAGE, 'text', mark);
  expect(sample.text).toBe(tableOf(kept));
  expect(readPage(PAGE)).toContain(kept.at.slice(0, 10));
});

test('the page says where it was measured', () => {
  expect(readPage(PAGE).replaceAll(/\s+/g, ' ')).toContain(wordsOf(report('bench.json')));
});

test('whatever was asked and is missed is explained on the page', () => {
  const page = readPage(PAGE);
  const [, explained = ''] = page.split('### What is missed, and why');
  for (const name of ['bench.json', 'scale.json'])
    for (const result of report(name).results)
      if (isMet(result) === false) expect(explained).toContain(`\`${result.name}\``);
});

test('every benchmark is on the page, and every picture of it exists', () => {
  const page = readPage(PAGE);
  for (const name of Object.keys(BENCHES)) expect(page).toContain(`\`${name}\``);
  const files = readdirSync(FOLDER);
  for (const [, file] of page.matchAll(/\]\(performance\/([\w.-]+)\)/g)) expect(files).toContain(file);
});
