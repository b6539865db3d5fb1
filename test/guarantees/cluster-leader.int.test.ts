import { expect, test } from 'vitest';
import { type NatsCluster, startNatsCluster } from '../../src/embedded/index.ts';
import { type NatsVersion, natsServerOf } from '../support/nats-server-versions.ts';
import { openStage, type RunningRelay, type Stage } from './stage.ts';

/** An election after a crash takes four to nine seconds. */
const ELECTION_MS = 30_000;

test('G1-G4, G7 on three nodes: the stream changes its leader under load', async () => {
  // At once: they mostly wait for elections.
  await Promise.all([changeLeaders('2.9.10'), changeLeaders('2.15.1')]);
});

async function changeLeaders(version: NatsVersion): Promise<void> {
  await using cluster = await startNatsCluster({ binary: (await natsServerOf(version)).path });
  await using stage = await openStage({ natsUrl: cluster.url, config: { num_replicas: 3 } });
  await using relay = await stage.startRelay();
  await using writers = stage.startWriters({ count: 2 });
  await relay.until('publishing');
  for (const change of [stepDown, stop, stepDown, kill]) {
    await cluster.untilStreamReady(stage.stream, { timeoutMs: ELECTION_MS });
    await relay.until('publishing', ELECTION_MS);
    await stage.untilPublishing({ events: 2_000, share: 0.2 });
    await change(cluster, stage);
  }
  await writers.stop();
  await stage.untilDrained(ELECTION_MS);
  expect({ version, faults: await stage.faults() }).toEqual({ version, faults: [] });
  expect(writers.failures).toEqual([]);
  await expectUnharmed(stage, relay);
}

async function stepDown(cluster: NatsCluster, { stream }: Stage): Promise<void> {
  await cluster.stepDown(stream);
}

async function stop(cluster: NatsCluster, { stream }: Stage): Promise<void> {
  const leader = await cluster.untilStreamReady(stream);
  await leader.stop();
  await leader.start();
  await cluster.untilHealthy();
}

async function kill(cluster: NatsCluster, { stream }: Stage): Promise<void> {
  const leader = await cluster.untilStreamReady(stream);
  leader.kill('SIGKILL');
}

/** No event pays for an outage: none is set aside, none is taken for lost or for another writer's. */
async function expectUnharmed({ pool }: Stage, relay: RunningRelay): Promise<void> {
  expect(relay.relay.status()).toMatchObject({ role: 'leader', epoch: 1 });
  expect(await relay.count('foreignMessages')).toBe(0);
  expect(await relay.count('healedEvents')).toBe(0);
  const { rows } = await pool.query('select count(*)::int from postcommit.dead_letters');
  expect(rows[0].count).toBe(0);
}
