import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createConsumerMeter } from '../../src/consumer/meter.ts';
import { createRelay } from '../../src/relay/index.ts';
import { createLiveGauge } from '../../src/telemetry/live-gauge.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { packageVersion } from '../../src/telemetry/package-version.ts';
import { collectProcessMetrics } from '../../src/telemetry/process-metrics.ts';

const samplesIn = async (registry: Registry) =>
  (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));

test('the versions of postcommit and Node are told', async () => {
  const { registry } = createMetrics();
  expect(packageVersion()).toMatch(/^\d+\.\d+\.\d+/);
  expect(await samplesIn(registry)).toContain(
    `postcommit_build_info{version="${packageVersion()}",node="${process.versions.node}"} 1`,
  );
});

test('before anything happens a relay tells 0 for all that can be known beforehand', async () => {
  const metrics = createMetrics();
  createRelay({
    databaseUrl: () => '',
    nats: () => ({ servers: [] }),
    lanes: ['orders', 'shared'].map((stream) => ({ stream, subjects: [`${stream}.>`] })),
    metrics,
  });
  const samples = await samplesIn(metrics.registry);
  for (const stream of ['orders', 'shared'])
    for (const name of [
      'published_events_total',
      'foreign_messages_total',
      'disordered_events_total',
      'lane_paused',
      'planned_pending',
      'in_flight_messages',
    ])
      expect(samples).toContain(`postcommit_${name}{stream="${stream}"} 0`);
  for (const outcome of ['duplicate', 'ambiguous', 'unavailable', 'saturated', 'refused'])
    expect(samples).toContain(`postcommit_publish_failures_total{outcome="${outcome}"} 0`);
  for (const source of ['notify', 'poll', 'sweep'])
    expect(samples).toContain(`postcommit_wakeups_total{source="${source}"} 0`);
  for (const result of ['agreed', 'healed', 'foreign'])
    expect(samples).toContain(`postcommit_reconciliations_total{result="${result}"} 0`);
  for (let segment = 0; segment < 8; segment++)
    expect(samples).toContain(`postcommit_segment_bytes{segment="${segment}"} 0`);
  expect(samples.filter((line) => line.startsWith('postcommit_relay_role')).sort()).toEqual([
    'postcommit_relay_role{role="leader"} 0',
    'postcommit_relay_role{role="standby"} 0',
    'postcommit_relay_role{role="starting"} 1',
    'postcommit_relay_role{role="stopped"} 0',
    'postcommit_relay_role{role="stopping"} 0',
  ]);
});

test('so does a consumer', async () => {
  const metrics = createMetrics();
  createConsumerMeter(metrics, 'billing');
  const samples = await samplesIn(metrics.registry);
  for (const result of ['effect', 'duplicate', 'failed', 'skipped', 'dead'])
    expect(samples).toContain(`postcommit_consumed_events_total{consumer="billing",result="${result}"} 0`);
  expect(samples).toContain('postcommit_consumer_is_active{consumer="billing"} 0');
  expect(samples).toContain('postcommit_consumer_slow_handlers{consumer="billing"} 0');
});

test('a process that only consumes has no role of a relay: it is neither a leader nor a standby', async () => {
  const metrics = createMetrics();
  createConsumerMeter(metrics, 'billing');
  expect((await samplesIn(metrics.registry)).filter((line) => line.includes('relay_role'))).toEqual([]);
});

test('labels are names of streams and consumers, and words that the code knows', () => {
  const labels = Object.values(createMetrics()).flatMap((metric) =>
    'labelNames' in metric ? (metric.labelNames as string[]) : [],
  );
  expect([...new Set(labels)].sort()).toEqual(
    [
      'consumer',
      'node',
      'outcome',
      'result',
      'role',
      'segment',
      'server',
      'source',
      'stream',
      'version',
    ].sort(),
  );
});

test('a live gauge is asked at each scrape, and once more when it is followed no longer', async () => {
  const gauge = createLiveGauge({ name: 'depth', help: 'a test', registers: [new Registry()] });
  let depth = 1;
  const value = async () => (await gauge.get()).values[0]?.value;
  const stop = gauge.follow((it) => it.set(depth));
  expect(await value()).toBe(1);
  depth = 2;
  expect(await value()).toBe(2);
  depth = 3;
  stop();
  depth = 4;
  expect(await value()).toBe(3);
});

test('of the process, what costs nothing between two scrapes is told', async () => {
  const metrics = createMetrics();
  collectProcessMetrics(metrics);
  const names = (await metrics.registry.getMetricsAsJSON()).map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining([
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'process_start_time_seconds',
      'process_open_fds',
      'nodejs_eventloop_lag_seconds',
      'nodejs_heap_size_used_bytes',
      'nodejs_gc_duration_seconds',
    ]),
  );
  expect(names.filter((name) => /eventloop_lag_(?!seconds)/.test(name))).toEqual([]);
});
