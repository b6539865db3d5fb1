import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { plotFileNames, writeReport } from '../../bench/report/write-report.ts';
import { aReport } from './a-report.ts';

const plotOf = (title: string) => ({ title, x: { label: 'x' }, y: { label: 'y' }, lines: [] });

test('one folder holds the figures, the page, and each plot as a file for docs', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bench-report-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const report = aReport({ plots: [plotOf('Drain rate by backlog')] });
  const files = await writeReport(report, join(folder, 'new', 'place'));
  const names = ['bench.json', 'bench.html', 'drain-rate-by-backlog.svg'];
  expect(files).toEqual(names.map((name) => join(folder, 'new', 'place', name)));
  expect(await readdir(join(folder, 'new', 'place'))).toEqual(names.toSorted());
  expect(JSON.parse(await readFile(files[0] ?? '', 'utf8'))).toEqual(report);
});

test('file names come from titles, lead nowhere, and are none twice', () => {
  const titles = [
    'Rate: 64 B .. 256 KiB',
    '../../etc/passwd',
    'été',
    '…',
    'Rate 64 B 256 KiB',
    'rate-64-b-256-kib-2',
  ];
  expect(plotFileNames(titles.map(plotOf))).toEqual([
    'rate-64-b-256-kib.svg',
    'etc-passwd.svg',
    't.svg',
    'plot.svg',
    'rate-64-b-256-kib-2.svg',
    'rate-64-b-256-kib-2-2.svg',
  ]);
});
