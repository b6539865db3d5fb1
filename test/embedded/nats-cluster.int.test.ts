import { existsSync } from 'node:fs';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { type NatsCluster, type NatsNode, startNatsCluster } from '../../src/embedded/index.ts';
import { NATS_VERSIONS, natsServerOf } from '../support/nats-server-versions.ts';

// At once: they mostly wait for elections, of four to nine seconds each.
test.concurrent.each(NATS_VERSIONS)(
  'three nodes of %s share a stream through every change of its leader',
  async (version) => {
    const { path: binary } = await natsServerOf(version);
    let nodes: readonly NatsNode[];
    {
      await using cluster = await startNatsCluster({ binary });
      nodes = cluster.nodes;
      expect(new Set(nodes.map(({ pid }) => pid)).size).toBe(3);
      await using stream = await createStream(cluster);
      const first = await cluster.untilStreamReady(stream.name);
      await stream.publish();

      await cluster.stepDown(stream.name);
      const second = await cluster.untilStreamReady(stream.name);
      expect(second).not.toBe(first);
      await stream.publish();

      second.kill('SIGKILL');
      expect(second.running).toBe(false);
      const third = await cluster.untilStreamReady(stream.name);
      expect(third).not.toBe(second);
      await stream.publish();

      await third.stop();
      expect(await cluster.leaderOf(stream.name)).toBeUndefined();
      await expect(cluster.untilStreamReady(stream.name, { timeoutMs: 100 })).rejects.toThrow(
        'no node leads it',
      );
      await Promise.all([second.start(), third.start()]);
      await cluster.untilHealthy();
      await cluster.untilStreamReady(stream.name);
      expect(await stream.messages()).toBe(3);
    }
    expect(nodes.filter(({ logFile }) => existsSync(logFile))).toEqual([]);
  },
);

test('a faulty configuration fails the start with what the server says', async () => {
  await expect(startNatsCluster({ config: 'nonsense: {' })).rejects.toThrow('exited while starting');
});

async function createStream(cluster: NatsCluster) {
  const connection = await connect({ servers: cluster.url.split(','), maxReconnectAttempts: -1 });
  const jsm = await jetstreamManager(connection);
  const name = 'SHARED';
  await jsm.streams.add({ name, subjects: ['shared'], num_replicas: 3 });
  return {
    name,
    publish: () => jsm.jetstream().publish('shared', 'payload', { retries: 10 }),
    messages: async () => (await jsm.streams.info(name)).state.messages,
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
