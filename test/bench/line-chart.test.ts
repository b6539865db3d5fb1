import { expect, test } from 'vitest';
import type { Plot } from '../../bench/report/result.ts';
import { lineChart, lineChartFile } from '../../bench/report/svg/line-chart.ts';
import { lookOf } from '../../bench/report/svg/style.ts';

function plotOf(lines: Plot['lines'], parts: Partial<Plot> = {}): Plot {
  return { title: 'Latency', x: { label: 'seconds' }, y: { label: 'ms' }, lines, ...parts };
}

const pathsOf = (svg: string) => [...svg.matchAll(/ d="([^"]*)"/g)].map(([, path = '']) => path);

test('every line is drawn, and named in the legend', () => {
  const svg = lineChart(
    plotOf([
      {
        name: 'postcommit',
        points: [
          [0, 1],
          [10, 2],
        ],
      },
      {
        name: 'textbook',
        points: [
          [0, 3],
          [10, 4],
        ],
      },
    ]),
  );
  expect(svg).toContain('>postcommit</text>');
  expect(svg).toContain('>textbook</text>');
  expect(pathsOf(svg)).toHaveLength(4);
});

test('a point that no axis can show interrupts the line, and never reaches a path', () => {
  const holes = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const hole of holes) {
    const svg = lineChart(
      plotOf([
        {
          name: 'a',
          points: [
            [0, 1],
            [1, 2],
            [2, hole],
            [3, 1],
            [4, 2],
            [hole, 5],
          ],
        },
      ]),
    );
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    expect(pathsOf(svg).at(-1)?.match(/M/g)).toHaveLength(2);
  }
});

test.each([
  ['no lines', []],
  ['a line without points', [{ name: 'a', points: [] }]],
  ['only what cannot be shown', [{ name: 'a', points: [[Number.NaN, Number.NaN] as const] }]],
])('%s: it says so', (_, lines) => {
  const svg = lineChart(plotOf(lines));
  expect(svg).toContain('no data');
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});

test('a single point is a dot', () => {
  expect(lineChart(plotOf([{ name: 'a', points: [[5, 5]] }]))).toContain('<circle');
});

test('text is text, in the file as well', () => {
  const plot = plotOf([{ name: '<b>&"\'\u0000', points: [[0, 1]] }], { title: '</svg><script>' });
  for (const svg of [lineChart(plot), lineChartFile(plot)]) {
    expect(svg).not.toMatch(/<b>|<script/);
    expect(svg).not.toContain('\u0000');
    expect(svg).toContain('&lt;b&gt;&amp;&quot;&#39;');
  }
});

test('a file brings its size, its colours for both themes and its title, and loads nothing', () => {
  const svg = lineChartFile(plotOf([{ name: 'a', points: [[0, 1]] }]));
  expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg" width="\d+" height="[\d.]+"/);
  expect(svg).toContain('prefers-color-scheme:dark');
  expect(svg).toContain('>Latency</text>');
  expect(svg).not.toMatch(/href|url\(|@import/);
});

test('no two of 36 lines look the same', () => {
  const looks = Array.from({ length: 36 }, (_, i) => JSON.stringify(lookOf(i)));
  expect(new Set(looks).size).toBe(36);
});
