import { AckPolicy, DiscardPolicy, RetentionPolicy, type StreamConfig } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { seededRandom } from '../support/seeded-random.ts';
import { startNats } from '../support/services.ts';
import { placesOf, readOutbox } from '../support/stream-history.ts';
import { openStage, type Stage } from './stage.ts';

const KILLS = 6;

test('on a work queue whose messages are gone once consumed, killed relays lose and double nothing', async () => {
  const random = seededRandom(7);
  await using stage = await openStage({ config: { retention: RetentionPolicy.Workqueue } });
  await using worker = await startWorker(stage);
  await using writers = stage.startWriters();
  for (let kill = 0; kill < KILLS; kill++) {
    await using relay = await stage.startRelayProcess();
    await relay.line('role', ({ role }) => role === 'leader');
    await stage.untilPublishing({ events: 2_000, share: random() });
    relay.kill('SIGKILL');
  }
  await writers.stop();
  await using relay = await stage.startRelay();
  await stage.untilDrained();
  const outbox = await readOutbox(stage.pool);
  const places = placesOf(await stage.log());
  await expect.poll(() => worker.received.size, { timeout: 15_000 }).toBe(outbox.length);
  expect(await stage.lastSequence()).toBe(outbox.length);
  for (const { position } of outbox)
    if (worker.received.get(places.get(position) ?? 0) !== position)
      expect.fail(`position ${position} is not at ${places.get(position)}`);
  expect(worker.received.size).toBe(new Set(worker.received.values()).size);
  expect(await relay.count('foreignMessages')).toBe(0);
  expect(await relay.count('healedEvents')).toBe(0);
});

test.each<{ deletes: string; config: Partial<StreamConfig>; consumed: boolean; purged: boolean }>([
  { deletes: 'interest', config: { retention: RetentionPolicy.Interest }, consumed: true, purged: false },
  {
    deletes: 'max_msgs',
    config: { max_msgs: 100, discard: DiscardPolicy.Old },
    consumed: false,
    purged: false,
  },
  { deletes: 'a purge at each kill', config: {}, consumed: false, purged: true },
])(
  'on a stream that deletes by $deletes, killed relays publish each event once',
  async ({ config, consumed, purged }) => {
    const random = seededRandom(11);
    await using stage = await openStage({ config });
    await using worker = consumed ? await startWorker(stage) : undefined;
    for (let kill = 0; kill < 3; kill++) {
      await using relay = await stage.startRelayProcess();
      await relay.line('role', ({ role }) => role === 'leader');
      await stage.untilPublishing({ events: 2_000, share: random() });
      // In the midst of a batch: some of what is purged was acknowledged, some not yet.
      if (purged) await stage.jsm.streams.purge(stage.stream);
      relay.kill('SIGKILL');
      if (purged && kill % 2 === 1) await stage.jsm.streams.purge(stage.stream); // Nobody looks on.
    }
    await using relay = await stage.startRelay();
    await stage.write(10);
    await stage.untilDrained();
    const outbox = await readOutbox(stage.pool);
    // Slots are contiguous: as many sequences as events, and each event has its own.
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBe(outbox.length);
    const places = placesOf(await stage.log());
    expect(new Set(places.values()).size).toBe(outbox.length);
    const left = await stage.messages();
    const misplaced = left.filter(({ position, sequence }) => places.get(position) !== sequence);
    expect(misplaced).toEqual([]);
    if (!consumed) expect(left.length).toBeGreaterThanOrEqual(10);
    if (worker !== undefined) {
      await expect.poll(() => worker.received.size, { timeout: 15_000 }).toBe(outbox.length);
      expect(new Set(worker.received.values()).size).toBe(outbox.length);
    }
    expect(await relay.count('healedEvents')).toBe(0);
  },
);

test('in key ordering, what a work queue has handed out is not sent again, by a reconnect or by the next start', async () => {
  await using nats = await startNats();
  await using stage = await openStage({
    natsUrl: nats.url,
    config: { retention: RetentionPolicy.Workqueue },
  });
  await using worker = await startWorker(stage);
  const lane = { ordering: 'key' } as const;
  {
    await using relay = await stage.startRelay({ lane });
    await stage.write(10);
    await expect.poll(() => worker.received.size, { timeout: 15_000 }).toBe(10);
    const before = await relay.count('reconciliations');
    await nats.restart();
    await expect.poll(() => relay.count('reconciliations'), { timeout: 10_000 }).toBeGreaterThan(before);
    await relay.until('publishing');
    await stage.write(1);
    await expect.poll(() => worker.received.size, { timeout: 15_000 }).toBe(11);
  }
  {
    await using relay = await stage.startRelay({ lane });
    await relay.until('publishing');
    await stage.write(1);
    await expect.poll(() => worker.received.size, { timeout: 15_000 }).toBe(12);
    // At rest it says so, for the one that will not have been stopped.
    const last = async () => (await stage.log()).at(-1)?.positions;
    await expect.poll(last, { timeout: 15_000 }).toEqual([]);
  }
  await using relay = await stage.startRelay({ lane });
  await relay.until('publishing');
  await stage.write(1);
  await expect.poll(() => worker.received.size, { timeout: 15_000 }).toBe(13);
  expect(await stage.lastSequence()).toBe(13);
});

interface Worker extends AsyncDisposable {
  /** Sequence to position of everything that was delivered. */
  readonly received: ReadonlyMap<number, number>;
}

/** Takes every message and acknowledges it, so that the stream deletes it. */
async function startWorker({ jsm, stream }: Stage): Promise<Worker> {
  await jsm.consumers.add(stream, { durable_name: 'worker', ack_policy: AckPolicy.Explicit });
  const consumer = await jsm.jetstream().consumers.get(stream, 'worker');
  const messages = await consumer.consume({ max_messages: 500 });
  const received = new Map<number, number>();
  const done = (async () => {
    for await (const message of messages) {
      received.set(message.seq, Number(message.headers?.get('Postcommit-Position')));
      message.ack();
    }
  })();
  return {
    received,
    async [Symbol.asyncDispose]() {
      await messages.close();
      await done;
    },
  };
}
