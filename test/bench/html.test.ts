import { expect, test } from 'vitest';
import { htmlReport } from '../../bench/report/html.ts';
import { type Measured, resultOf } from '../../bench/report/result.ts';
import { aReport } from './a-report.ts';

function throughput(parts: Partial<Measured> = {}) {
  const against = { name: 'stock', values: [30_000, 32_000, 31_000] };
  return resultOf({ name: 'drain', unit: 'events/s', values: [62_000, 60_000, 65_000], against, ...parts });
}

test('it says where, with what, how and when it was measured', () => {
  const html = htmlReport(aReport());
  for (const fact of [
    'A CPU, 2 cores, 24 GiB',
    'postgres 18.4',
    'max_wal_size 8GB',
    'npm run bench -- drain',
    '5 interleaved',
    '2026-11-30 17:05:09 UTC',
  ])
    expect(html).toContain(fact);
  expect(htmlReport(aReport({ quick: true }))).toContain('no figure to quote');
});

test('one file: nothing is loaded and nothing runs', () => {
  const plot = {
    title: 'A curve',
    x: { label: 'x' },
    y: { label: 'y' },
    lines: [
      {
        name: 'a',
        points: [
          [0, 1],
          [1, 2],
        ] as const,
      },
    ],
  };
  const html = htmlReport(aReport({ results: [throughput()], plots: [plot] }));
  expect(html).not.toMatch(/<script|<link|<img|src=|href=|url\(|@import/);
  expect(html).toContain('prefers-color-scheme:dark');
});

test('what was measured reads as text, whatever it is called', () => {
  const name = '<img src=x onerror=alert(1)> & "others"';
  const html = htmlReport(
    aReport({
      command: name,
      results: [throughput({ name }), throughput({ against: { name, values: [1] } })],
    }),
  );
  expect(html).not.toContain('<img');
  expect(html).toContain('&lt;img src=x onerror=alert(1)&gt; &amp; &quot;others&quot;');
});

test('an empty list of results is said, not drawn', () => {
  const html = htmlReport(aReport());
  expect(html).toContain('Nothing was measured.');
  expect(html).not.toMatch(/<table|<svg|class="banner/);
});

test('targets that are met and missed are told in words', () => {
  const met = throughput({ target: { at: 'least', value: 1.5 } });
  const missed = resultOf({ name: 'cpu', unit: 'us', values: [15], target: { at: 'most', value: 12 } });
  expect(htmlReport(aReport({ results: [met] }))).toContain('✓ met</span>: all 1 targets');
  const html = htmlReport(aReport({ results: [met, missed] }));
  expect(html).toContain('✗ MISSED</span>: 1 of 2 targets');
  expect(html).toContain('<li>cpu: 15.0 us, asked ≤ 12</li>');
  expect(html).toContain('≥ 1.5 x <span class="met">✓ met</span>');
});

test('faults that are not none stand out', () => {
  const html = htmlReport(
    aReport({ results: [throughput({ faults: [{ lost: 0, twice: 1_200, disorder: 0 }] })] }),
  );
  expect(html).toContain('0, <strong>1,200</strong>, 0');
});

test('a throughput stands beside its baseline, with the spread of both where it is known', () => {
  const stock = resultOf({ name: 'stock', unit: 'events/s', values: [30_000, 32_000, 31_000] });
  const whiskers = (html: string) => html.match(/class="whisker"/g)?.length;
  const alone = htmlReport(aReport({ results: [throughput()] }));
  expect(alone).toContain('stock: 31,000 events/s"');
  expect(whiskers(alone)).toBe(1);
  expect(whiskers(htmlReport(aReport({ results: [throughput(), stock] })))).toBe(2);
  const latency = resultOf({ name: 'p99', unit: 'ms', values: [3], against: { name: 'other', values: [4] } });
  expect(htmlReport(aReport({ results: [latency] }))).not.toContain('beside its baseline');
});

test('figures that are none are called so, and draw nothing impossible', () => {
  const broken = [
    throughput({ values: [Number.NaN], target: { at: 'least', value: 2 } }),
    throughput({ values: [Number.POSITIVE_INFINITY] }),
    throughput({ values: [] }),
    throughput({ against: { name: 'stock', values: [0] } }),
  ];
  const html = htmlReport(aReport({ results: broken }));
  expect(html).not.toMatch(/NaN|Infinity|∞|undefined/);
  expect(html).toContain('✗ MISSED');
});
