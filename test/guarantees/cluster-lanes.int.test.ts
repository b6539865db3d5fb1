import type { StorageType } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { startNatsCluster } from '../../src/embedded/index.ts';
import { faultsOfStreams, openLanes } from '../support/lanes.ts';
import { natsServerOf } from '../support/nats-server-versions.ts';
import { openStage } from './stage.ts';

const ELECTION_MS = 30_000;

test('a lane whose stream has lost its majority delays no other, and catches up', async () => {
  await using cluster = await startNatsCluster({ binary: (await natsServerOf('2.10.27')).path });
  // The first stream needs two of three nodes; the second lives on the node that stays, wherever that is.
  await using lanes = await openLanes(2, { 0: { num_replicas: 3 } }, { natsUrl: cluster.url });
  const [first = '', second = ''] = lanes.streams;
  await cluster.untilStreamReady(first);
  const survivor = await cluster.untilStreamReady(second);
  await using relay = await lanes.startRelay();
  await using writers = lanes.startWriters();
  await lanes.untilStored(200);
  const lost = cluster.nodes.filter(({ name }) => name !== survivor.name);
  for (const node of lost) node.kill('SIGKILL');
  await expect
    .poll(() => relay.relay.status().lanes[0]?.state, { timeout: ELECTION_MS })
    .not.toBe('publishing');
  await lanes.probeLatency([1], 1); // Whoever was connected to another node is on this one by now.
  const latencies = await lanes.probeLatency([1], 10);
  expect(Math.max(...latencies)).toBeLessThan(1_500);
  await Promise.all(lost.map((node) => node.start()));
  await expect.poll(() => relay.relay.status().lanes[0]?.state, { timeout: ELECTION_MS }).toBe('publishing');
  await writers.stop();
  await lanes.untilDrained();
  expect(await faultsOfStreams(lanes)).toEqual([]);
});

test('G10: when all nodes lose what they had acknowledged, it is published again in order', async () => {
  await using cluster = await startNatsCluster({ binary: (await natsServerOf('2.10.27')).path });
  // In memory: what a power cut leaves of messages that no node had written to its disk.
  const config = { num_replicas: 3, storage: 'memory' as StorageType };
  await using stage = await openStage({ natsUrl: cluster.url, config });
  await using relay = await stage.startRelay();
  await stage.write(1_500);
  await stage.untilDrained(ELECTION_MS);
  await expect.poll(async () => (await stage.log()).at(-1)?.settledTo ?? 0).toBeGreaterThan(0);
  for (const node of cluster.nodes) node.kill('SIGKILL');
  await Promise.all(cluster.nodes.map((node) => node.start()));
  await expect.poll(() => cluster.leaderOf(stage.stream), { timeout: ELECTION_MS }).toBeDefined();
  await stage.write(10);
  await stage.untilDrained(ELECTION_MS);
  await expect.poll(stage.faults, { timeout: ELECTION_MS, interval: 200 }).toEqual([]);
  expect(await relay.count('healedEvents')).toBeGreaterThan(0);
  expect(relay.lines.map(({ event }) => event)).toContain('stream-rewound');
});
