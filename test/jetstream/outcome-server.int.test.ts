import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { type NatsOptions, startNats } from '../../src/embedded/index.ts';
import { type BrokerLink, connectBroker, lookUpStream } from '../../src/jetstream/index.ts';
import { silentLogger } from '../../src/telemetry/logger.ts';
import { NATS_VERSIONS, natsServerOf } from '../support/nats-server-versions.ts';
import { startReloadableNats, USERS, urlAs } from '../support/reloadable-nats.ts';
import { mountSmallDisk } from '../support/small-disk.ts';
import {
  createRecordingPublisher,
  openScratchStream,
  publishEvent,
  type RecordingPublisher,
  type ScratchStream,
  untrue,
} from './fixture.ts';

const forever = new AbortController().signal;

test.each(NATS_VERSIONS)(
  'a permission revoked by a reload of %s stores nothing more, until it is back',
  async (version) => {
    await using nats = await startReloadableNats(version);
    await nats.reload(USERS.all);
    await using link = await connectAs(nats, 'app');
    await using stream = await openScratchStream({ url: urlAs(nats, 'admin') });
    using recorder = createRecordingPublisher({ link, stream: stream.name, ackTimeoutMs: 200 });
    await publish(recorder, stream, 1);

    await nats.reload(USERS.mute(stream.name));
    const denied = await publish(recorder, stream, 2);
    expect(denied).toEqual({
      kind: 'ambiguous',
      reason: expect.stringMatching(
        new RegExp(`no answer in 200 ms; .*Permissions Violation .*"${stream.subject}"`),
      ),
    });
    expect(link.connected).toBe(true);

    await nats.reload(USERS.all);
    expect(await publish(recorder, stream, 3)).toBe(2);
    expect(await untrue(stream, recorder.settled)).toEqual([]);
    expect((await stream.state()).messages).toBe(2);
  },
);

test.each(NATS_VERSIONS)(
  'a user taken away by a reload of %s loses the connection, and gets it back with the user',
  async (version) => {
    await using nats = await startReloadableNats(version);
    await nats.reload(USERS.all);
    await using link = await connectAs(nats, 'app');
    await using stream = await openScratchStream({ url: urlAs(nats, 'admin') });
    using recorder = createRecordingPublisher({ link, stream: stream.name });
    await publish(recorder, stream, 1);

    const down = new Promise<void>((resolve) => link.onDisconnect(resolve));
    const reloading = nats.reload(USERS.none);
    for (let i = 2; i < 500; i++) publishEvent(recorder.publisher, stream, i);
    await Promise.all([reloading, down]);
    await recorder.until(499);
    expect(await publish(recorder, stream, 500)).toEqual({
      kind: 'unavailable',
      reason: 'not connected to NATS',
    });
    expect(recorder.kinds().filter((kind) => !['stored', 'ambiguous', 'unavailable'].includes(kind))).toEqual(
      [],
    );

    await nats.reload(USERS.all);
    await link.waitConnected(forever);
    expect(await publish(recorder, stream, 501)).toEqual(expect.any(Number));
    expect(await untrue(stream, recorder.settled)).toEqual([]);
  },
);

test('an account without JetStream is told from a subject that no stream captures', async () => {
  await using nats = await startNats({
    config: `accounts: { A: { jetstream: enabled, users: [ { user: with, password: p } ] },
      B: { users: [ { user: without, password: p } ] } }`,
  });
  await using stream = await openScratchStream({ url: urlAs(nats, 'with') });
  await using link = await connectAs(nats, 'without');
  using recorder = createRecordingPublisher({ link, stream: stream.name });
  expect(await publish(recorder, stream, 1)).toMatchObject({
    kind: 'unavailable',
    reason: expect.stringContaining('503'),
  });
  expect(await lookUpStream(link, stream.name)).toMatchObject({
    kind: 'unavailable',
    reason: expect.stringContaining('JetStream not enabled for account'),
  });
});

test.for(NATS_VERSIONS)(
  '%s with no space left on its disk claims nothing that is not so',
  async (version, { annotate }) => {
    await using disk = await mountSmallDisk(4);
    await annotate(
      disk === undefined ? 'on max_file_store: no tmpfs can be mounted here' : 'on a tmpfs of 4 MB',
    );
    // Left alone, the server takes three quarters of the disk, and never sees its end.
    const options: NatsOptions =
      disk === undefined
        ? { jetstream: 'max_file_store: 3MB' }
        : { dataDir: disk.path, jetstream: 'max_file_store: 1GB' };
    await using nats = await startNats({ binary: (await natsServerOf(version)).path, ...options });
    await using stream = await openScratchStream({ url: nats.url });
    const outcomes = await fillUp(stream);
    expect(outcomes.stored).toBeGreaterThan(10);
    // On a full disk 2.10 says so. 2.9 and 2.15 say nothing more; until they are started again.
    const reason =
      disk === undefined ? /insufficient resources/ : /no space left on device|no answer in 300 ms/;
    expect(outcomes.kinds.filter((kind) => !['stored', 'saturated', 'ambiguous'].includes(kind))).toEqual([]);
    expect(outcomes.reasons.filter((text) => !reason.test(text))).toEqual([]);
    await disk?.grow(64);
    // 2.9 is stuck, and would not heed an orderly end.
    nats.kill('SIGKILL');
    await nats.start();
    await stream.link.waitConnected(forever);
    await expect.poll(() => untrue(stream, outcomes.settled), { timeout: 10_000 }).toEqual([]);
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    if (disk !== undefined) expect(await publish(recorder, stream, 1_000)).toEqual(expect.any(Number));
  },
);

test.each(NATS_VERSIONS)(
  '%s at its own limit of storage says so, and goes on when there is room',
  async (version) => {
    await using nats = await startNats({
      binary: (await natsServerOf(version)).path,
      jetstream: 'max_file_store: 3MB',
    });
    await using stream = await openScratchStream({ url: nats.url });
    const outcomes = await fillUp(stream);
    expect(outcomes.stored).toBeGreaterThan(10);
    expect(outcomes.kinds.at(-1)).toBe('saturated');
    expect(outcomes.reasons.at(-1)).toContain('insufficient resources');
    expect(await untrue(stream, outcomes.settled)).toEqual([]);
    const { lastSequence } = await stream.state();
    await (await jetstreamManager(stream.link.connection)).streams.purge(stream.name);
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    expect(await publish(recorder, stream, 1_000)).toBe(lastSequence + 1);
  },
);

/** Large messages, one after the other, until the second that is not stored. */
async function fillUp(stream: ScratchStream) {
  using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name, ackTimeoutMs: 300 });
  const payload = Buffer.alloc(100_000);
  let refusals = 0;
  for (let i = 0; i < 100 && refusals < 2; i++)
    if (typeof (await publish(recorder, stream, i, payload)) !== 'number') refusals++;
  const reasons = recorder.settled.flatMap(([, result]) =>
    typeof result === 'number' || result.kind === 'duplicate' ? [] : [result.reason],
  );
  const kinds = recorder.kinds();
  return {
    settled: recorder.settled,
    kinds,
    reasons,
    stored: kinds.filter((kind) => kind === 'stored').length,
  };
}

async function publish(
  recorder: RecordingPublisher,
  stream: ScratchStream,
  position: number,
  payload = Buffer.from('payload'),
) {
  const before = recorder.settled.length;
  publishEvent(recorder.publisher, stream, position, { event: { payload } });
  return (await recorder.until(before + 1))[before]?.[1];
}

function connectAs(nats: { url: string }, user: string): Promise<BrokerLink> {
  return connectBroker({ servers: [urlAs(nats, user)] }, { logger: silentLogger() });
}
