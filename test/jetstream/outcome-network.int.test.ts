import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type EmbeddedNats, startNats } from '../../src/embedded/index.ts';
import { connectBroker } from '../../src/jetstream/index.ts';
import { silentLogger } from '../../src/telemetry/logger.ts';
import { type Direction, startTcpProxy, type TcpProxy } from '../../src/testing/index.ts';
import { type NatsVersion, natsServerOf } from '../support/nats-server-versions.ts';
import {
  createRecordingPublisher,
  openScratchStream,
  publishEvent,
  type ScratchStream,
  type Settled,
  untrue,
} from './fixture.ts';

/** So many connections are made and cut at a time. */
const AT_A_TIME = 8;

// The two forms of an acknowledgement: with a blank and without.
const VERSIONS: readonly NatsVersion[] = ['2.9.10', '2.15.1'];

describe.each(VERSIONS)('a connection to nats-server %s', (version) => {
  let nats: EmbeddedNats;
  let stream: ScratchStream;
  beforeAll(async () => {
    nats = await startNats({ binary: (await natsServerOf(version)).path });
  });
  afterAll(() => nats[Symbol.asyncDispose]());
  beforeEach(async () => {
    stream = await openScratchStream({ url: nats.url });
  });
  afterEach(() => stream[Symbol.asyncDispose]());

  /** Publishes one message through a proxy of its own; `trouble` comes just before. */
  async function publishThrough(
    position: number,
    trouble: (proxy: TcpProxy) => unknown,
    { ackTimeoutMs = 5_000 }: { ackTimeoutMs?: number } = {},
  ): Promise<{ settled: Settled; passed: Record<Direction, number> }> {
    await using proxy = await startTcpProxy({ port: nats.port });
    await using link = await connectBroker(
      { servers: [proxy.through(nats.url)] },
      { logger: silentLogger() },
    );
    using recorder = createRecordingPublisher({ link, stream: stream.name, ackTimeoutMs });
    await link.connection.flush();
    const before = { ...proxy.passed };
    trouble(proxy);
    publishEvent(recorder.publisher, stream, position);
    const [settled] = await recorder.until(1);
    const passed = { up: proxy.passed.up - before.up, down: proxy.passed.down - before.down };
    return { settled: settled as Settled, passed };
  }

  /** Sequences and positions of as many digits as later ones, so that all publishes and answers are equally long. */
  async function fill(count: number): Promise<void> {
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    for (let i = 0; i < count; i++) publishEvent(recorder.publisher, stream, i);
    await recorder.until(count);
  }

  const kindOf = ([, result]: Settled) => (typeof result === 'number' ? 'stored' : result.kind);
  const isStored = async (position: number) =>
    (await untrue(stream, [[position, { kind: 'refused', reason: '' }]])).length > 0;

  test.each(['up', 'down'] as const)(
    'cut after every number of bytes of a publish, %s',
    async (direction) => {
      await fill(100);
      const { passed } = await publishThrough(100, () => undefined);
      const size = passed[direction];
      const positionOf = (bytes: number) => 101 + bytes;
      expect(size).toBeGreaterThan(direction === 'up' ? 150 : 50);
      const settled: Settled[] = [];
      for (let first = 0; first <= size; first += AT_A_TIME) {
        const sizes = Array.from({ length: Math.min(AT_A_TIME, size - first + 1) }, (_, i) => first + i);
        const trials = sizes.map((bytes) =>
          publishThrough(positionOf(bytes), (proxy) => proxy.cutAfter(bytes, { direction })),
        );
        for (const trial of await Promise.all(trials)) settled.push(trial.settled);
      }
      expect(settled).toHaveLength(size + 1);
      expect(await untrue(stream, settled)).toEqual([]);
      expect(
        settled.filter((each) => !['stored', 'ambiguous', 'unavailable'].includes(kindOf(each))),
      ).toEqual([]);
      // Of a publish that was cut nothing is stored, and all is of one whose answer was cut: each is `ambiguous`. The
      // client does not wait for the line end of an answer.
      expect(settled.slice(0, -2).map(kindOf)).not.toContain('stored');
      expect(await isStored(positionOf(size - 1))).toBe(direction === 'down');
      expect(await isStored(positionOf(size))).toBe(true);
      if (direction === 'down') expect(kindOf(settled.at(-1) as Settled)).toBe('stored');
    },
  );

  test('the answer never comes: stored all the same, and nobody knows', async () => {
    const swallow = (proxy: TcpProxy) => proxy.swallow({ direction: 'down' });
    const { settled } = await publishThrough(1, swallow, { ackTimeoutMs: 200 });
    expect(settled[1]).toEqual({ kind: 'ambiguous', reason: 'no answer in 200 ms' });
    expect(await isStored(1)).toBe(true);
  });

  test('the message never arrives: not stored, and nobody knows', async () => {
    const swallow = (proxy: TcpProxy) => proxy.swallow({ direction: 'up' });
    const { settled } = await publishThrough(1, swallow, { ackTimeoutMs: 200 });
    expect(settled[1]).toEqual({ kind: 'ambiguous', reason: 'no answer in 200 ms' });
    expect(await isStored(1)).toBe(false);
  });

  test('a message held by the network is stored long after it was given up', async () => {
    await using proxy = await startTcpProxy({ port: nats.port });
    await using link = await connectBroker(
      { servers: [proxy.through(nats.url)] },
      { logger: silentLogger() },
    );
    using recorder = createRecordingPublisher({ link, stream: stream.name, ackTimeoutMs: 200 });
    await link.connection.flush();
    proxy.blackHole();
    publishEvent(recorder.publisher, stream, 1);
    await recorder.until(1);
    expect(recorder.kinds()).toEqual(['ambiguous']);
    expect(await isStored(1)).toBe(false);
    proxy.heal();
    await expect.poll(() => isStored(1)).toBe(true);
    expect(recorder.settled).toHaveLength(1);
  });

  test('cut into small packets, late and slow, every answer is understood', async () => {
    await using proxy = await startTcpProxy({ port: nats.port });
    await using link = await connectBroker(
      { servers: [proxy.through(nats.url)] },
      { logger: silentLogger() },
    );
    using recorder = createRecordingPublisher({ link, stream: stream.name });
    proxy.split(7);
    proxy.delay(20);
    for (let i = 0; i < 50; i++) publishEvent(recorder.publisher, stream, i, { expected: i });
    await recorder.until(50);
    expect(recorder.settled).toEqual(Array.from({ length: 50 }, (_, i) => [i, i + 1]));
  });

  test('of a pipeline that is cut in the midst, what is stored was stored, in order', async () => {
    await using proxy = await startTcpProxy({ port: nats.port });
    await using link = await connectBroker(
      { servers: [proxy.through(nats.url)] },
      { logger: silentLogger() },
    );
    using recorder = createRecordingPublisher({ link, stream: stream.name });
    await link.connection.flush();
    const { cut } = proxy.cutAfter(20_000, { direction: 'down' });
    for (let i = 0; i < 1_000; i++) publishEvent(recorder.publisher, stream, i, { expected: i });
    await cut;
    await recorder.until(1_000);
    const stored = recorder.kinds().indexOf('ambiguous');
    expect(stored).toBeGreaterThan(50);
    expect(recorder.kinds().slice(stored)).toEqual(Array(1_000 - stored).fill('ambiguous'));
    expect(await untrue(stream, recorder.settled)).toEqual([]);
  });
});
