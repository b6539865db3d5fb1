import { expect, test } from 'vitest';
import { type NatsCluster, type NatsNode, startNatsCluster } from '../../src/embedded/index.ts';
import { type NatsVersion, natsServerOf } from '../support/nats-server-versions.ts';
import { openStage } from './stage.ts';

const ELECTION_MS = 30_000;

test('G7 on three nodes: without a majority the relay pauses, whoever leads, and goes on with it', async () => {
  // At once: they mostly wait for elections.
  await Promise.all([pauseWithout('2.9.10'), pauseWithout('2.10.27'), takeOverWithout('2.9.10')]);
});

async function pauseWithout(version: NatsVersion): Promise<void> {
  await using cluster = await startNatsCluster({ binary: (await natsServerOf(version)).path });
  await using stage = await openStage({ natsUrl: cluster.url, config: { num_replicas: 3 } });
  await using relay = await stage.startRelay();
  await using writers = stage.startWriters({ count: 2 });
  await stage.untilPublishing({ events: 2_000, share: 0.2 });

  const lost = await loseMajority(cluster, stage.stream);
  const reasons = [await relay.until('paused', ELECTION_MS)];
  const before = writers.commits;
  const isLeaderless = () => {
    reasons.push(relay.relay.status().lanes[0]?.reason ?? null);
    return /has no leader at present/.test(reasons.at(-1) ?? '');
  };
  await expect.poll(isLeaderless, { timeout: ELECTION_MS }).toBe(true);
  expect(reasons.filter((reason) => /not enabled/.test(reason ?? ''))).toEqual([]);
  expect(writers.commits).toBeGreaterThan(before);
  await Promise.all(lost.map((node) => node.start()));
  await relay.until('publishing', ELECTION_MS);

  await writers.stop();
  await stage.untilDrained(ELECTION_MS);
  expect({ version, faults: await stage.faults() }).toEqual({ version, faults: [] });
  expect(writers.failures).toEqual([]);
  expect(relay.relay.status()).toMatchObject({ role: 'leader', epoch: 1 });
  const { rows } = await stage.pool.query('select count(*)::int from postcommit.dead_letters');
  expect(rows[0].count).toBe(0);
}

/** The relay is killed as the majority is lost, and its successor begins in the midst of this. */
async function takeOverWithout(version: NatsVersion): Promise<void> {
  await using cluster = await startNatsCluster({ binary: (await natsServerOf(version)).path });
  await using stage = await openStage({ natsUrl: cluster.url, config: { num_replicas: 3 } });
  await using writers = stage.startWriters({ count: 2 });
  await using killed = await stage.startRelayProcess();
  await killed.line('ready');
  await stage.untilPublishing({ events: 2_000, share: 0.2 });
  const lost = await loseMajority(cluster, stage.stream);
  killed.kill('SIGKILL');
  await using successor = await stage.startRelayProcess();
  await successor.line('lane-paused');
  await Promise.all(lost.map((node) => node.start()));
  await writers.stop();
  await stage.untilDrained(ELECTION_MS);
  expect({ version, faults: await stage.faults() }).toEqual({ version, faults: [] });
  expect(writers.failures).toEqual([]);
}

/** Kills the stream's leader and one more node, and returns both. */
async function loseMajority(cluster: NatsCluster, stream: string): Promise<NatsNode[]> {
  const leader = await cluster.untilStreamReady(stream);
  const other = cluster.nodes.find((node) => node !== leader);
  const lost = other === undefined ? [leader] : [leader, other];
  for (const node of lost) node.kill('SIGKILL');
  return lost;
}
