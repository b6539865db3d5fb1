import { expect, test } from 'vitest';
import { CHECKS } from '../../src/doctor/checks.ts';
import { proseOf, tableBelow } from '../docs/pages.ts';
import { ALERTS, promtool, RECORDED, SCENARIOS, seriesIn, seriesOfRegistry } from './rules-file.ts';

const DOCTOR_CHECKS = new Set(CHECKS.map(({ name }) => name));

const RUNBOOK = 'docs/runbook.md';

test('promtool finds no fault in the rules and in the example configuration', async () => {
  expect(await promtool('check', 'rules', 'postcommit.rules.yml')).toContain(
    `SUCCESS: ${ALERTS.length + RECORDED.length} rules found`,
  );
  expect(await promtool('check', 'config', 'prometheus.yml')).toContain('1 rule files found');
});

test('the rules pass their own tests', { timeout: 120_000 }, async () => {
  expect(await promtool('test', 'rules', 'postcommit.rules.test.yml')).toContain('SUCCESS');
});

test.each(ALERTS.map(({ alert }) => alert))('%s is tested to fire, and not to fire', (alert) => {
  const moments = SCENARIOS.filter(({ name }) => name.split(',')[0] === alert)
    .flatMap(({ promql_expr_test }) => promql_expr_test)
    .filter(({ expr }) => expr === `ALERTS{alertname="${alert}", alertstate="firing"}`);
  const fires = moments.map(({ exp_samples }) =>
    exp_samples.some(({ labels, value }) => labels.includes(`alertname="${alert}"`) && value === 1),
  );
  expect([...new Set(fires)].sort()).toEqual([false, true]);
});

test('every test is of an alert that there is', () => {
  const names = new Set(ALERTS.map(({ alert }) => alert));
  const tested = SCENARIOS.flatMap(({ promql_expr_test }) => promql_expr_test)
    .flatMap(({ expr, exp_samples }) => [expr, ...exp_samples.map(({ labels }) => labels)])
    .flatMap((text) => [...text.matchAll(/alertname="(\w+)"/g)].map(([, name = '']) => name));
  expect(tested.filter((name) => !names.has(name))).toEqual([]);
});

test('every rule that is recorded is tested', () => {
  const tested = new Set(
    SCENARIOS.flatMap(({ promql_expr_test }) => promql_expr_test.map(({ expr }) => expr)),
  );
  expect(RECORDED.map(({ record }) => record).filter((name) => !tested.has(name))).toEqual([]);
});

test('rules ask for series that the registry has', async () => {
  const known = await seriesOfRegistry();
  const asked = [...ALERTS, ...RECORDED].flatMap(({ expr }) => seriesIn(expr));
  expect(asked.length).toBeGreaterThan(20);
  expect(asked.filter((name) => !known.has(name))).toEqual([]);
});

test('rules ask for recorded series that there are', () => {
  const recorded = new Set(RECORDED.map(({ record }) => record));
  const asked = ALERTS.flatMap(({ expr }) => expr.match(/\bjob\w*:[\w:]+/g) ?? []);
  expect(asked.length).toBeGreaterThan(3);
  expect(asked.filter((name) => !recorded.has(name))).toEqual([]);
});

test.each(ALERTS.map((alert) => [alert.alert, alert] as const))(
  '%s says how bad it is, what to do first, which check of doctor and which section of the runbook',
  (name, { labels, annotations }) => {
    expect(Object.keys(labels)).toEqual(['severity']);
    expect(['critical', 'warning', 'info']).toContain(labels.severity);
    expect(Object.keys(annotations).sort()).toEqual(['description', 'doctor', 'runbook', 'summary']);
    expect(annotations.description).toMatch(/\bfirst\b/i);
    expect(DOCTOR_CHECKS).toContain(annotations.doctor);
    expect(annotations.runbook).toBe(`${RUNBOOK}#${name.toLowerCase()}`);
  },
);

test.each(ALERTS.map((alert) => [alert.alert, alert] as const))(
  '%s names only labels that its expression leaves it',
  (name, { annotations }) => {
    const fired = SCENARIOS.flatMap(({ promql_expr_test }) => promql_expr_test)
      .flatMap(({ exp_samples }) => exp_samples.map(({ labels }) => labels))
      .find((labels) => labels.includes(`alertname="${name}"`));
    const left = new Set([...(fired ?? '').matchAll(/(\w+)="/g)].map(([, label = '']) => label));
    const texts = Object.values(annotations).join('\n');
    const named = [...texts.matchAll(/\$labels\.(\w+)/g)].map(([, label = '']) => label);
    expect(named.filter((label) => !left.has(label))).toEqual([]);
    expect(texts.match(/\{\{(?! \$labels\.\w+ \}\}| \$value(?: \| \w+)? \}\})/g)).toBeNull();
  },
);

test('the runbook has a section for each alert, and no other, in their order', () => {
  const sections = runbookSections();
  expect([...sections.keys()]).toEqual(ALERTS.map(({ alert }) => alert));
  for (const [name, text] of sections)
    for (const part of ['See', 'Do', 'Harmless'])
      expect(text, name).toMatch(new RegExp(`^- \\*\\*${part}:\\*\\* \\S`, 'm'));
});

test("the runbook's table is that of the rules", () => {
  const listed = tableBelow(RUNBOOK, 'Runbook');
  expect(listed).toEqual(
    ALERTS.map(({ alert, labels, annotations }) => [
      `[${alert}](#${alert.toLowerCase()})`,
      labels.severity,
      `\`${annotations.doctor}\``,
    ]),
  );
});

test('series that the runbook names are in the registry', async () => {
  const known = await seriesOfRegistry();
  const histograms = new Set([...known].map((name) => name.replace(/_bucket$/, '')));
  const named = seriesIn(proseOf(RUNBOOK)).filter((name) => name.startsWith('postcommit_'));
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter((name) => !known.has(name) && !histograms.has(name))).toEqual([]);
});

function runbookSections(): Map<string, string> {
  const parts = proseOf(RUNBOOK)
    .split(/^## (.+)$/m)
    .slice(1);
  return new Map(parts.flatMap((part, i) => (i % 2 === 0 ? [[part, parts[i + 1] ?? '']] : [])));
}
