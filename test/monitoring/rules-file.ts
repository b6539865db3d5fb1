import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { run } from '../../src/embedded/process.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { ensurePrometheus } from '../support/install-prometheus.ts';

export const FOLDER = join(import.meta.dirname, '..', '..', 'deploy', 'prometheus');

export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Recorded {
  readonly record: string;
  readonly expr: string;
}

interface RulesFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly (Alert | Recorded)[] }[];
}

/** One moment of a scenario: what an expression is then. */
export interface Expectation {
  readonly expr: string;
  readonly exp_samples: readonly { readonly labels: string; readonly value: number }[];
}

export interface Scenario {
  readonly name: string;
  readonly promql_expr_test: readonly Expectation[];
}

const RULES = (readYaml('postcommit.rules.yml') as RulesFile).groups.flatMap(({ rules }) => rules);

export const ALERTS = RULES.filter((rule): rule is Alert => 'alert' in rule);
export const RECORDED = RULES.filter((rule): rule is Recorded => 'record' in rule);
export const SCENARIOS = (readYaml('postcommit.rules.test.yml') as { tests: readonly Scenario[] }).tests;

export function readYaml(name: string): unknown {
  return parse(readFileSync(join(FOLDER, name), 'utf8'));
}

export async function promtool(...args: readonly string[]): Promise<string> {
  return run(await ensurePrometheus('promtool'), args, { cwd: FOLDER });
}

/** The series that postcommit's registry brings, histograms as their parts. */
export async function seriesOfRegistry(): Promise<Set<string>> {
  const metrics = await createMetrics().registry.getMetricsAsJSON();
  const parts = (name: string) => [`${name}_bucket`, `${name}_sum`, `${name}_count`];
  return new Set(metrics.flatMap(({ name, type }) => (String(type) === 'histogram' ? parts(name) : [name])));
}

/** Series of postcommit and of its process that an expression names. */
export function seriesIn(expr: string): string[] {
  return [...new Set(expr.match(/\b(?:postcommit|process|nodejs)_[a-z0-9_]+/g))];
}
