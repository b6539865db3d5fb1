import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StorageType } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { type NatsCluster, type NatsNode, startNatsCluster } from '../../src/embedded/index.ts';
import { faultsOfStreams, openLanes } from '../support/lanes.ts';
import { type NatsVersion, natsServerOf } from '../support/nats-server-versions.ts';
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

// A cluster in memory loses all, as a power cut does to what no node has written to its disk; the files of one are put back
// to what they were.
test.each<{ storage: 'memory' | 'file'; version: NatsVersion }>([
  { storage: 'memory', version: '2.10.27' },
  { storage: 'file', version: '2.15.1' },
])(
  'G10: when all nodes of $version lose what they had acknowledged ($storage), it is published again in order',
  async ({ storage, version }) => {
    await using cluster = await startNatsCluster({ binary: (await natsServerOf(version)).path });
    const config = { num_replicas: 3, storage: storage as StorageType };
    await using stage = await openStage({ natsUrl: cluster.url, config });
    await using relay = await stage.startRelay();
    await stage.write(500);
    await stage.untilDrained(ELECTION_MS);
    await using kept = storage === 'file' ? await keepStores(cluster) : undefined;
    await stage.write(1_000);
    await stage.untilDrained(ELECTION_MS);
    await stage.write(1); // Its plan says that what came before is settled.
    await stage.untilDrained(ELECTION_MS);
    expect((await stage.log()).at(-1)?.settledTo).toBe(1_500);
    for (const node of cluster.nodes) node.kill('SIGKILL');
    await kept?.putBack();
    await Promise.all(cluster.nodes.map((node) => node.start()));
    await expect.poll(() => cluster.leaderOf(stage.stream), { timeout: ELECTION_MS }).toBeDefined();
    await stage.write(10);
    await stage.untilDrained(ELECTION_MS);
    await expect.poll(stage.faults, { timeout: ELECTION_MS, interval: 200 }).toEqual([]);
    expect(await relay.count('healedEvents')).toBe(storage === 'file' ? 1_001 : 1_501);
    expect(relay.lines.map(({ event }) => event)).toContain('stream-rewound');
  },
);

/** Copies the files of all nodes, which are stopped for it. */
async function keepStores(cluster: NatsCluster): Promise<AsyncDisposable & { putBack(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-stores-'));
  const copy = ({ name }: NatsNode) => join(folder, name);
  await Promise.all(cluster.nodes.map((node) => node.stop()));
  for (const node of cluster.nodes) await cp(node.storeDir, copy(node), { recursive: true });
  await Promise.all(cluster.nodes.map((node) => node.start()));
  await cluster.untilHealthy();
  return {
    async putBack() {
      for (const node of cluster.nodes) {
        await rm(node.storeDir, { recursive: true, force: true, maxRetries: 5 });
        await cp(copy(node), node.storeDir, { recursive: true });
      }
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
