import { expect, test, vi } from 'vitest';
import { type NatsCluster, startNatsCluster } from '../../src/embedded/index.ts';
import { lookUpStream, unfitness } from '../../src/jetstream/index.ts';
import { NATS_VERSIONS, natsServerOf } from '../support/nats-server-versions.ts';
import {
  createRecordingPublisher,
  openScratchStream,
  publishEvent,
  type RecordingPublisher,
  type ScratchStream,
  untrue,
} from './fixture.ts';

const forever = new AbortController().signal;
const HARMLESS = new Set(['stored', 'ambiguous', 'unavailable']);

// At once: they mostly wait for elections, of four to nine seconds each.
test.concurrent.each(NATS_VERSIONS)(
  'while the stream of three nodes of %s has no leader, nobody takes messages, and its state is unknown',
  async (version) => {
    await using cluster = await startNatsCluster({ binary: (await natsServerOf(version)).path });
    await using stream = await openScratchStream({ url: cluster.url, definition: { replicas: 3 } });
    using recorder = createRecordingPublisher({
      link: stream.link,
      stream: stream.name,
      ackTimeoutMs: 1_000,
    });
    const elsewhere = `${stream.name}_nowhere.a`;
    // A new stream of several nodes may not be listened for everywhere yet, although its creation was acknowledged.
    await untilStored(recorder, stream);
    await cluster.untilStreamReady(stream.name);

    await cluster.stepDown(stream.name);
    await untilStored(recorder, stream);

    const gone = await cluster.untilStreamReady(stream.name);
    gone.kill('SIGKILL');
    await untilStored(recorder, stream);

    // With one of three nodes left, the last one answers for the stream in the end, without being its leader.
    const survivor = await loseMajority(cluster, stream);
    const reasons = new Set<string>();
    const isLeaderless = async () => {
      await publishOne(recorder, stream);
      const found = await lookUpStream(stream.link, stream.name);
      reasons.add(found.kind === 'unavailable' ? found.reason : `${found.kind}!`);
      return [...reasons].join().includes('has no leader at present');
    };
    await vi.waitUntil(isLeaderless, { timeout: 30_000 });
    expect([...reasons].filter((reason) => reason.endsWith('!') || /not enabled/.test(reason))).toEqual([]);
    const [, leaderless] = recorder.settled.at(-1) ?? [];
    expect(leaderless).toMatchObject({
      kind: 'unavailable',
      reason: expect.stringContaining('a leader is being elected'),
    });
    // The answer for a subject that no stream captures is the same, so it may not say that it is one or the other.
    expect(await publishOne(recorder, { ...stream, subject: elsewhere })).toEqual(leaderless);

    await Promise.all(cluster.nodes.filter((node) => node !== survivor).map((node) => node.start()));
    await untilStored(recorder, stream);
    // In time the stream's own word tells them apart.
    const state = await vi.waitFor(() => stream.state(), { timeout: 30_000 });
    expect(unfitness(state, [stream.subject])).toEqual([]);
    expect(unfitness(state, [elsewhere]).join()).toContain(`not '${elsewhere}'`);
    expect(await publishOne(recorder, { ...stream, subject: elsewhere })).toEqual(leaderless);

    expect(recorder.kinds().filter((kind) => !HARMLESS.has(kind))).toEqual([]);
    // A cluster that is whole again may be unavailable once more for a moment.
    expect(await vi.waitFor(() => untrue(stream, recorder.settled), { timeout: 30_000 })).toEqual([]);
  },
);

async function publishOne(recorder: RecordingPublisher, stream: Pick<ScratchStream, 'name' | 'subject'>) {
  const position = recorder.settled.length;
  publishEvent(recorder.publisher, stream, position);
  return (await recorder.until(position + 1))[position]?.[1];
}

async function untilStored(recorder: RecordingPublisher, stream: ScratchStream): Promise<void> {
  const attempt = async () => {
    await stream.link.waitConnected(forever);
    return typeof (await publishOne(recorder, stream));
  };
  await vi.waitUntil(async () => (await attempt()) === 'number', { timeout: 30_000 });
}

/** Kills so many nodes that one is left, and returns it. */
async function loseMajority(cluster: NatsCluster, stream: ScratchStream) {
  const leader = await cluster.untilStreamReady(stream.name);
  const survivor = cluster.nodes.find((node) => node.running && node !== leader);
  if (survivor === undefined) throw new Error('no follower runs');
  for (const node of cluster.nodes) if (node !== survivor && node.running) node.kill('SIGKILL');
  await stream.link.waitConnected(forever);
  return survivor;
}
