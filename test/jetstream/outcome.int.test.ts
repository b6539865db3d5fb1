import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { createRecordingPublisher, openScratchStream, type PublishOptions, publishEvent } from './fixture.ts';

/** What the running server answers to the last of these publishes. */
async function lastOutcome(raw: object, publishes: readonly PublishOptions[], { seal = false } = {}) {
  await using stream = await openScratchStream({ raw });
  using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
  for (const [index, options] of publishes.entries()) {
    const last = index === publishes.length - 1;
    if (last && seal) {
      const manager = await jetstreamManager(stream.link.connection);
      const { config } = await manager.streams.info(stream.name);
      await manager.streams.update(stream.name, { ...config, sealed: true } as object);
    }
    publishEvent(recorder.publisher, stream, index, options);
    await recorder.until(index + 1);
  }
  return recorder.settled.at(-1)?.[1];
}

const full = { discard: 'new' } as const;

test.each([
  ['full by messages', { ...full, max_msgs: 1 }, [{}, {}], 'saturated', 'maximum messages'],
  [
    'full by bytes',
    { ...full, max_bytes: 300 },
    [{}, { event: { payload: Buffer.alloc(200) } }],
    'saturated',
    'maximum bytes',
  ],
  [
    'larger than the stream takes',
    { max_msg_size: 200 },
    [{ event: { payload: Buffer.alloc(300) } }],
    'refused',
    '10054',
  ],
  ['headers over 64k', {}, [{ event: { headers: { a: 'x'.repeat(70_000) } } }], 'refused', '10097'],
  ['at a wrong sequence', {}, [{ expected: 7 }], 'ambiguous', '10071'],
  ['for another stream', {}, [{ stream: 'another' }], 'unavailable', '10060'],
] as const)('a message %s', async (_what, raw, publishes, kind, reason) => {
  expect(await lastOutcome(raw, publishes)).toMatchObject({ kind, reason: expect.stringContaining(reason) });
});

test('a message to a sealed stream', async () => {
  expect(await lastOutcome({}, [{}, {}], { seal: true })).toMatchObject({
    kind: 'unavailable',
    reason: expect.stringContaining('10109'),
  });
});
