import { jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EmbeddedNats, startNats } from '../../src/embedded/index.ts';
import { createStream, type Failure, unfitness } from '../../src/jetstream/index.ts';
import { NATS_VERSIONS, natsServerOf } from '../support/nats-server-versions.ts';
import {
  createRecordingPublisher,
  openScratchStream,
  type PublishOptions,
  publishEvent,
  type ScratchStream,
  untrue,
} from './fixture.ts';

describe.each(NATS_VERSIONS)('what nats-server %s answers to', (version) => {
  let nats: EmbeddedNats;
  beforeAll(async () => {
    nats = await startNats({ binary: (await natsServerOf(version)).path });
  });
  afterAll(() => nats[Symbol.asyncDispose]());

  /** The outcomes of these publishes, one after the other; `meddle` comes before the last. */
  async function outcomesOf(
    config: Partial<StreamConfig>,
    publishes: readonly PublishOptions[],
    {
      meddle,
      ackTimeoutMs = 5_000,
    }: { meddle?: (stream: ScratchStream) => unknown; ackTimeoutMs?: number } = {},
  ): Promise<readonly (number | Failure)[]> {
    await using stream = await openScratchStream({ url: nats.url, raw: config });
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name, ackTimeoutMs });
    for (const [index, options] of publishes.entries()) {
      if (index === publishes.length - 1) await meddle?.(stream);
      publishEvent(recorder.publisher, stream, index, options);
      await recorder.until(index + 1);
    }
    expect(await untrue(stream, recorder.settled)).toEqual([]);
    return recorder.settled.map(([, result]) => result);
  }

  const update = (changes: Partial<StreamConfig>) => async (stream: ScratchStream) => {
    const { streams } = await jetstreamManager(stream.link.connection);
    const { config } = await streams.info(stream.name);
    await streams.update(stream.name, { ...config, ...changes });
  };
  const discardNew = { discard: 'new' as StreamConfig['discard'] };
  const big = { event: { payload: Buffer.alloc(300) } };

  test.each<[string, Partial<StreamConfig>, PublishOptions[], string, string]>([
    [
      'a message over max_msgs',
      { ...discardNew, max_msgs: 1 },
      [{}, {}],
      'saturated',
      'maximum messages exceeded',
    ],
    [
      'a message over max_bytes',
      { ...discardNew, max_bytes: 400 },
      [{}, big],
      'saturated',
      'maximum bytes exceeded',
    ],
    [
      'a message over max_msgs_per_subject',
      { ...discardNew, max_msgs_per_subject: 1, discard_new_per_subject: true },
      [{}, {}],
      'saturated',
      'maximum messages per subject exceeded',
    ],
    ['a message over max_msg_size', { max_msg_size: 200 }, [big], 'refused', '10054'],
    ['headers over 64k', {}, [{ event: { headers: { a: 'x'.repeat(70_000) } } }], 'refused', '10097'],
    ['a wrong expected sequence', {}, [{ expected: 7 }], 'ambiguous', '10071'],
    ['another expected stream', {}, [{ stream: 'another' }], 'unavailable', '10060'],
  ])('%s', async (_what, config, publishes, kind, reason) => {
    const outcomes = await outcomesOf(config, publishes);
    expect(outcomes.at(-1)).toMatchObject({ kind, reason: expect.stringContaining(reason) });
    expect(outcomes.slice(0, -1)).toEqual(publishes.slice(1).map((_, i) => i + 1));
  });

  test('a full subject, while others still have room', async () => {
    const config = { ...discardNew, max_msgs_per_subject: 1, discard_new_per_subject: true };
    await using stream = await openScratchStream({ url: nats.url, raw: config });
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    const subjects = ['a', 'b', 'a', 'c'].map((token) => `${stream.name}.${token}`);
    for (const [i, subject] of subjects.entries())
      publishEvent(recorder.publisher, { ...stream, subject }, i);
    await recorder.until(4);
    expect(recorder.kinds()).toEqual(['stored', 'stored', 'saturated', 'stored']);
    expect(await untrue(stream, recorder.settled)).toEqual([]);
  });

  test('a message after max_msg_size was lowered', async () => {
    const outcomes = await outcomesOf({}, [big, big, {}], { meddle: update({ max_msg_size: 250 }) });
    expect(outcomes).toEqual([1, 2, 3]);
    expect(
      (await outcomesOf({}, [big, big], { meddle: update({ max_msg_size: 250 }) })).at(-1),
    ).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('10054'),
    });
  });

  test('a message to a stream that was sealed', async () => {
    const outcomes = await outcomesOf({}, [{}, {}], { meddle: update({ sealed: true }) });
    expect(outcomes).toEqual([1, { kind: 'unavailable', reason: expect.stringContaining('10109') }]);
  });

  test('a message to a stream that stopped acknowledging', async () => {
    const outcomes = await outcomesOf({}, [{}, {}], { meddle: update({ no_ack: true }), ackTimeoutMs: 100 });
    expect(outcomes).toEqual([1, { kind: 'ambiguous', reason: 'no answer in 100 ms' }]);
  });

  test('a message whose stream was deleted, or no longer captures its subject', async () => {
    const gone = async ({ link, name }: ScratchStream) =>
      void (await (await jetstreamManager(link.connection)).streams.delete(name));
    await using stream = await openScratchStream({ url: nats.url, raw: {} });
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    await update({ subjects: [`${stream.name}.other`] })(stream);
    publishEvent(recorder.publisher, stream, 1);
    await recorder.until(1);
    // The answer cannot tell; the stream's own word does.
    expect(unfitness(await stream.state(), [stream.subject]).join()).toContain(`not '${stream.subject}'`);
    await gone(stream);
    publishEvent(recorder.publisher, stream, 2);
    await recorder.until(2);
    for (const [, outcome] of recorder.settled) {
      expect(outcome).toMatchObject({
        kind: 'unavailable',
        reason: expect.stringContaining('none covers its subject'),
      });
      expect(outcome).not.toMatchObject({ reason: expect.stringMatching(/not enabled/) });
    }
  });

  test('a repeated message id, in its place and out of it', async () => {
    const publishes = [{ messageId: 'a' }, { messageId: 'a' }, { messageId: 'a', expected: 0 }];
    const [first, second, third] = await outcomesOf({}, publishes);
    expect([first, second]).toEqual([1, { kind: 'duplicate', sequence: 1 }]);
    // Before 2.12 the id is looked at first, later the sequence; neither settles anything.
    expect(['duplicate', 'ambiguous']).toContain((third as Failure).kind);
  });
});

describe('limits of an account', () => {
  const config =
    'accounts: { A: { jetstream: { max_file: 20000, max_streams: 1 }, users: [ { user: a, password: a } ] } }\nno_auth_user: a';

  test.each(NATS_VERSIONS)('its storage used up, on %s', async (version) => {
    await using nats = await startNats({ binary: (await natsServerOf(version)).path, config });
    await using stream = await openScratchStream({ url: nats.url });
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    const event = { payload: Buffer.alloc(1_000) };
    for (let i = 0; i < 30; i++) publishEvent(recorder.publisher, stream, i, { event });
    await recorder.until(30);
    const stored = recorder.kinds().indexOf('saturated');
    expect(stored).toBeGreaterThan(10);
    expect(recorder.settled.at(-1)?.[1]).toMatchObject({
      kind: 'saturated',
      reason: expect.stringContaining('10002'),
    });
    expect(await untrue(stream, recorder.settled)).toEqual([]);
    const { messages, lastSequence } = await stream.state();
    expect(messages).toBe(stored);
    // Before 2.10 a stream with one replica stores the message, takes it out again and says no: the sequence is used up,
    // and what expects it as the last one is accepted.
    expect(lastSequence).toBe(version === '2.9.10' ? 30 : stored);
  });

  test('a stream too many says what is used up', async () => {
    await using nats = await startNats({ config });
    await using stream = await openScratchStream({ url: nats.url });
    expect(await createStream(stream.link, { name: 'second', subjects: ['second.>'] })).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('maximum number of streams reached'),
    });
  });
});

test('a server whose queue is full drops messages, says so, and stores nothing behind them', async () => {
  const binary = (await natsServerOf('2.15.1')).path;
  await using nats = await startNats({ binary, jetstream: 'max_buffered_msgs: 10' });
  await using stream = await openScratchStream({ url: nats.url });
  using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name, maxInFlight: 5_000 });
  for (let i = 0; i < 5_000; i++) publishEvent(recorder.publisher, stream, i, { expected: i });
  await recorder.until(5_000);
  // The refusals overtake the acknowledgements of what was queued before.
  const byToken = [...recorder.settled].sort(([a], [b]) => a - b).map(([, result]) => result);
  const stored = byToken.filter((result) => typeof result === 'number').length;
  expect(byToken.slice(0, stored)).toEqual(Array.from({ length: stored }, (_, i) => i + 1));
  const refusals = byToken.slice(stored) as Failure[];
  expect(refusals.filter(({ kind }) => kind !== 'saturated' && kind !== 'ambiguous')).toEqual([]);
  expect(refusals[0]).toMatchObject({ kind: 'saturated', reason: expect.stringContaining('429') });
  expect(await untrue(stream, recorder.settled)).toEqual([]);
  expect((await stream.state()).lastSequence).toBe(stored);
});
