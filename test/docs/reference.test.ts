import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getTableColumns } from 'drizzle-orm';
import { expect, test } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { loadRelayConfig } from '../../src/daemon/config.ts';
import { relayRoutes } from '../../src/daemon/routes.ts';
import { flagOf, SETTING_KEYS, settingOf } from '../../src/daemon/settings.ts';
import { summary } from '../../src/demo/report.ts';
import { HEADER } from '../../src/jetstream/headers.ts';
import { outbox } from '../../src/schema.ts';
import { ATTRIBUTE } from '../../src/telemetry/messaging-attributes.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { codeIn, ROOT, readPage, sampleMarked, tableBelow } from './pages.ts';

const RELAY = 'docs/running-the-relay.md';

test('the configuration table lists every variable with its flag and default, and no other', () => {
  const listed = tableBelow(RELAY, 'Configuration').map(([name, flag, initial]) => [
    codeIn(name)[0],
    codeIn(flag)[0],
    initial?.replaceAll('`', ''),
  ]);
  expect(listed).toEqual(SETTING_KEYS.flatMap(rowsOf));
});

function rowsOf(key: (typeof SETTING_KEYS)[number]): (string | undefined)[][] {
  const { env, about, secret, alsoAsFile } = settingOf(key);
  const initial = /\(default: (.*)\)/.exec(about)?.[1] ?? '';
  const rows = [[env, secret === 'value' ? undefined : flagOf(key), initial]];
  const fileFlag = secret === undefined ? undefined : `${flagOf(key)}-file`;
  return alsoAsFile === true ? [...rows, [`${env}_FILE`, fileFlag, '']] : rows;
}

test('the sample of a configuration file is one', () => {
  const { text } = sampleMarked(RELAY, 'json', 'config');
  const settings = JSON.parse(text) as Record<string, unknown>;
  const config = loadRelayConfig({ flags: settings, env: { DATABASE_URL: 'postgres://127.0.0.1/shop' } });
  expect(config).toMatchObject({
    lanes: settings.lanes,
    http: { host: '0.0.0.0', port: 9465 },
    retentionMs: 72 * 3_600_000,
  });
});

test.each(['docs/lanes-and-ordering.md', 'docs/replay.md'])('so is that of the lanes in %s', (page) => {
  const { text } = sampleMarked(page, 'json', 'config');
  const settings = JSON.parse(text) as { lanes: object[] };
  const config = loadRelayConfig({
    flags: settings,
    env: { DATABASE_URL: 'postgres://127.0.0.1/shop', NATS_URL: 'nats://127.0.0.1:4222' },
  });
  expect(config).toMatchObject({ lanes: settings.lanes });
});

test('the exit codes are those of the command line', () => {
  const listed = tableBelow(RELAY, 'Exit codes').map(([code]) => code);
  expect(listed).toEqual([...Object.values(EXIT).map(String), '128+n']);
});

test('the troubleshooting page gives known exit codes', () => {
  const codes = tableBelow('docs/troubleshooting.md', 'The command ends with an error').map(
    ([, code]) => code,
  );
  for (const code of codes) expect(Object.values(EXIT).map(String)).toContain(code);
});

test('the messages of the troubleshooting page are those of the code', () => {
  const sources = [...sourceFiles('src'), join(ROOT, 'migrations/0000_postcommit.sql')]
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n');
  const fromServers = [
    'maximum bytes exceeded',
    'subjects overlap with an existing stream',
    'insufficient resources',
    'terminating connection',
    'permission denied for ',
    'permission denied for table outbox',
    'for sequence ',
    'cannot PREPARE a transaction that has executed LISTEN, UNLISTEN, or NOTIFY',
  ];
  const missing = readPage('docs/troubleshooting.md')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => codeIn(line.split('|')[1]))
    .flatMap((message) => message.split('…'))
    .filter((part) => part.trim().length > 4 && !fromServers.includes(part))
    .filter((part) => !sources.includes(part.trim()));
  expect(missing).toEqual([]);
});

test('the metrics table lists the registry, with types and labels', async () => {
  const metrics = await createMetrics().registry.getMetricsAsJSON();
  const listed = tableBelow(RELAY, 'Metrics').map(([name, type, labels]) => ({
    name: codeIn(name)[0],
    type,
    labels: codeIn(labels),
  }));
  const labelsOf = new Map(
    Object.values(createMetrics()).flatMap((metric) =>
      'labelNames' in metric ? [[nameIn(metric), metric.labelNames]] : [],
    ) as [string, string[]][],
  );
  const registered = metrics.map(({ name, type }) => ({
    name,
    type: String(type),
    labels: labelsOf.get(name) ?? [],
  }));
  const byName = (a: { name?: string | undefined }, b: { name?: string | undefined }) =>
    String(a.name).localeCompare(String(b.name));
  expect(listed.sort(byName)).toEqual(registered.sort(byName));
});

function nameIn(metric: object): string {
  return (metric as { name: string }).name;
}

test('the health table lists every path', () => {
  const routes = relayRoutes(() => {
    throw new Error('not asked');
  }, createMetrics());
  const listed = tableBelow(RELAY, 'Health').map(([path]) => codeIn(path)[0]);
  expect(listed.sort()).toEqual(['/', ...Object.keys(routes)].sort());
});

test('the log table lists every event that the relay and consume() log', () => {
  const logged = sourceFiles('src')
    .filter((path) => !/src\/(embedded|demo)\//.test(path))
    .flatMap((path) => [
      ...readFileSync(path, 'utf8').matchAll(/(?:\bevent: |trouble\.warn\(\s*)'([a-z_-]+)'/g),
    ])
    .map(([, event = '']) => event);
  const listed = tableBelow(RELAY, 'Log').flatMap(([events]) => codeIn(events));
  expect(listed.sort()).toEqual([...new Set(logged)].sort());
});

test('what the demo ends with is what the README says', () => {
  const count = 12_345;
  const perfect = { count, lost: 0, phantom: 0, twice: 0, disordered: 0, rolledBack: 0 };
  const line = summary({ committed: count, stream: perfect, effects: perfect } as Parameters<
    typeof summary
  >[0]);
  expect(readPage('README.md')).toContain(`\n    ${line.replaceAll('12,345', 'N')}\n`);
});

test('the table of headers lists every one', () => {
  const listed = tableBelow('docs/consuming.md', 'Headers on a message').flatMap(([names]) => codeIn(names));
  expect(listed.sort()).toEqual(Object.values(HEADER).sort());
});

test('the table of attributes lists every one that a span may have', () => {
  const listed = tableBelow('docs/tracing.md', 'Attributes').flatMap(([names]) => codeIn(names));
  expect(listed.sort()).toEqual(Object.values(ATTRIBUTE).sort());
});

test('the tables of options and fields are those of the types', () => {
  const options = tableBelow('docs/consuming.md', 'Options').flatMap(([names]) => codeIn(names));
  expect(options.sort()).toEqual(fieldsOf('src/consumer/options.ts', 'ConsumeOptions'));
  const fields = tableBelow('docs/consuming.md', 'The event').flatMap(([names]) => codeIn(names));
  const source = 'src/jetstream/received-event.ts';
  const declared = ['MessageContent', 'ConsumedEvent'].flatMap((name) => fieldsOf(source, name));
  expect(fields.sort()).toEqual(declared.sort());
});

test('the options of startTestServices() are those of the page', () => {
  const page = 'docs/testing-your-service.md';
  const listed = tableBelow(page, 'A whole service under test').flatMap(([names]) => codeIn(names));
  expect(listed.sort()).toEqual(fieldsOf('src/testing/services.ts', 'TestServicesOptions'));
});

/** Names in an interface, methods with `()`. */
function fieldsOf(path: string, name: string): string[] {
  const source = readFileSync(join(ROOT, path), 'utf8');
  const body = new RegExp(`interface ${name}\\b[^{]*\\{([\\s\\S]*?)\\n\\}`).exec(source)?.[1] ?? '';
  return [...body.matchAll(/^ {2}(?:readonly )?(\w+)(?:<[^>]*>)?(\(\))?\??:/gm)]
    .map(([, field = '', call = '']) => field + call)
    .sort();
}

test('the columns that a writer may set are those of the page', () => {
  const own = ['position', 'segment', 'created_at'];
  const columns = Object.values(getTableColumns(outbox))
    .map(({ name }) => name)
    .filter((name) => !own.includes(name));
  const listed = tableBelow('docs/writing-events.md', 'Writing events').map(([name]) => codeIn(name)[0]);
  expect(listed.sort()).toEqual(columns.sort());
});

test('the flags of postcommit dev are those of the page', () => {
  const source = readFileSync(join(ROOT, 'src/cli/dev.ts'), 'utf8');
  const flags = [...source.matchAll(/\.option\('(--[^']+)'/g)].map(([, flag = '']) => flag);
  const listed = tableBelow('docs/embedded-services.md', 'postcommit dev').flatMap(([names]) =>
    codeIn(names),
  );
  expect(listed.sort()).toEqual(flags.sort());
});

test('the flags of postcommit replay are those of the page', () => {
  const source = readFileSync(join(ROOT, 'src/cli/replay-flags.ts'), 'utf8');
  const flags = [...source.matchAll(/'(--[a-z-]+)(?: <[^']*>)?'/g)].map(([, flag = '']) => flag);
  const table = readPage('docs/replay.md').match(/^\| `--.*$/gm) ?? [];
  const listed = table.flatMap((row) => codeIn(row.split('|')[1]));
  expect(listed.sort()).toEqual([...new Set(flags)].sort());
});

function sourceFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(ROOT, folder, name));
}
