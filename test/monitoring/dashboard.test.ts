import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { renderDashboard } from '../../scripts/grafana-dashboard/dashboard.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { collectProcessMetrics } from '../../src/telemetry/process-metrics.ts';
import { DASHBOARD, DASHBOARD_TEXT, filledIn, panelQueries } from './dashboard-file.ts';
import { promtool, seriesIn } from './rules-file.ts';

/** Metrics of postcommit that no panel shows, each with the reason. */
const NOT_SHOWN: Readonly<Record<string, string>> = {};

test('the dashboard is what npm run dashboard writes', async () => {
  expect(DASHBOARD_TEXT === (await renderDashboard()), 'run npm run dashboard').toBe(true);
});

test('panels ask for series that there are', async () => {
  const metrics = createMetrics();
  collectProcessMetrics(metrics);
  const known = new Set(
    (await metrics.registry.getMetricsAsJSON()).flatMap(({ name, type }) =>
      String(type) === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  );
  const asked = [...panelQueries(), ...variablesAndAnnotations()].flatMap(({ expr }) => seriesIn(expr));
  expect(asked.filter((name) => !known.has(name))).toEqual([]);
});

test('every metric of postcommit is shown, or is left out for a reason', async () => {
  const shown = panelQueries().flatMap(({ expr }) => seriesIn(expr));
  const metrics = await createMetrics().registry.getMetricsAsJSON();
  const unseen = metrics
    .map(({ name }) => name)
    .filter(
      (name) =>
        !shown.some((series) => series === name || series.replace(/_(bucket|sum|count)$/, '') === name),
    );
  expect(unseen).toEqual(Object.keys(NOT_SHOWN));
});

test('Prometheus understands every query', async () => {
  const rules = [...panelQueries(), ...variablesAndAnnotations()].map(({ expr }, i) => ({
    record: `panel:query:${i}`,
    expr: filledIn(expr),
  }));
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-dashboard-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'queries.yml');
  await writeFile(file, stringify({ groups: [{ name: 'queries', rules }] }));
  expect(rules.length).toBeGreaterThan(60);
  expect(await promtool('check', 'rules', file)).toContain(`SUCCESS: ${rules.length} rules found`);
});

test('it has a row for each part, and variables to choose by', () => {
  const rows = DASHBOARD.panels.filter(({ type }) => type === 'row').map(({ title }) => title);
  expect(rows).toEqual([
    'Overview',
    'Relay',
    'Streams and lanes',
    'Outbox',
    'Consumers',
    'Process of the relays',
  ]);
  expect(DASHBOARD.templating.list.map(({ name }) => name)).toEqual([
    'datasource',
    'job',
    'instance',
    'stream',
    'consumer',
  ]);
});

test('each variable that a query uses is one of the dashboard', () => {
  const variables = new Set(DASHBOARD.templating.list.map(({ name }) => name));
  const used = [...DASHBOARD_TEXT.matchAll(/\$(?!__)(\w+)/g)].map(([, name = '']) => name);
  expect(used.filter((name) => !variables.has(name))).toEqual([]);
});

test('each panel has a title, a unit, an explanation and a place of its own', () => {
  const panels = DASHBOARD.panels.filter(({ type }) => type !== 'row');
  for (const { title, type, description, fieldConfig, options } of panels) {
    expect(description, title).toMatch(/\S/);
    if (type !== 'state-timeline')
      expect(fieldConfig?.defaults.unit ?? options?.yAxis?.unit, title).toMatch(/\S/);
  }
  const ids = DASHBOARD.panels.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  const cells = DASHBOARD.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
  expect(DASHBOARD.panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([]);
});

test('legends name only labels that their query leaves', () => {
  for (const { title, targets = [] } of DASHBOARD.panels)
    for (const { expr, legendFormat } of targets) {
      const by = /\bby \(([^)]*)\)/.exec(expr)?.[1]?.split(', ');
      const named = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label);
      expect(
        named.filter((label) => by !== undefined && !by.includes(label)),
        `${title}: ${expr}`,
      ).toEqual([]);
    }
});

function variablesAndAnnotations(): { readonly expr: string }[] {
  const variables = DASHBOARD.templating.list
    .map(({ query }) => /^label_values\((.*), \w+\)$/.exec(query)?.[1])
    .filter((expr) => expr !== undefined);
  return [...variables.map((expr) => ({ expr })), ...DASHBOARD.annotations.list];
}
