import {
  AnnotationQueryBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { collectProcessMetrics } from '../../src/telemetry/process-metrics.ts';
import { DATASOURCE, type Made } from './panels.ts';
import { ofRelay } from './queries.ts';
import { ROWS } from './rows.ts';

/** The whole dashboard as Grafana imports it; what no panel says of itself, its metric's help does. */
export async function createDashboard(): Promise<Dashboard> {
  const help = await readHelp();
  const builder = new DashboardBuilder('postcommit')
    .uid('postcommit')
    .description(
      'Relays, streams, outbox and consumers of postcommit. Generated: see scripts/grafana-dashboard.',
    )
    .tags(['postcommit'])
    .time({ from: 'now-1h', to: 'now' })
    .refresh('30s')
    .tooltip(DashboardCursorSync.Crosshair)
    .editable()
    .variables(variables())
    .annotations([takeovers()]);
  let id = 0;
  for (const { title, panels } of ROWS) {
    builder.withRow(new RowBuilder(title).id(++id));
    for (const made of panels) {
      made.builder.id(++id);
      made.builder.description(made.spec.about ?? help(made));
      builder.withPanel(made.builder);
    }
  }
  return builder.build();
}

export async function renderDashboard(): Promise<string> {
  return `${JSON.stringify(await createDashboard(), null, 2)}\n`;
}

function variables() {
  const every = (name: string, query: string) =>
    new QueryVariableBuilder(name)
      .label(name)
      .datasource(DATASOURCE)
      .query(query)
      .definition(query)
      .refresh(VariableRefresh.OnTimeRangeChanged)
      .sort(VariableSort.AlphabeticalAsc)
      .multi(true)
      .includeAll(true)
      .allValue('.*')
      .current({ text: ['All'], value: ['$__all'] });
  return [
    new DatasourceVariableBuilder('datasource').label('datasource').type('prometheus'),
    every('job', 'label_values(postcommit_relay_role, job)'),
    every('instance', 'label_values(postcommit_relay_role{job=~"$job"}, instance)'),
    every('stream', 'label_values(postcommit_published_events_total{job=~"$job"}, stream)'),
    every('consumer', 'label_values(postcommit_consumer_is_active, consumer)'),
  ];
}

function takeovers(): AnnotationQueryBuilder {
  return new AnnotationQueryBuilder()
    .name('Takeovers')
    .datasource(DATASOURCE)
    .enable(true)
    .iconColor('orange')
    .expr(`changes(${ofRelay('postcommit_lease_epoch')}[$__interval]) > 0`)
    .titleFormat('{{instance}} leads')
    .step('30s');
}

async function readHelp(): Promise<(made: Made) => string> {
  const metrics = createMetrics();
  collectProcessMetrics(metrics);
  const texts = new Map((await metrics.registry.getMetricsAsJSON()).map(({ name, help }) => [name, help]));
  return ({ spec }) => {
    const [expr = ''] = Object.values(spec.queries);
    const [name = ''] = /\b(?:postcommit|process|nodejs)_[a-z0-9_]+/.exec(expr) ?? [];
    const text = texts.get(name) ?? texts.get(name.replace(/_(?:bucket|sum|count)$/, ''));
    if (text === undefined) throw new Error(`the panel "${spec.title}" shows no metric of the registry`);
    return text;
  };
}
