import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createCloudEventHeaders, headerBlock, type StreamState } from '../../src/jetstream/index.ts';
import { CLOUD_EVENT_BYTES, storageFault } from '../../src/relay/lane/acceptable.ts';
import { storedEvent } from '../jetstream/fixture.ts';

const SERVER = 1_048_576;
const stream = { name: 's', maxMessageSize: -1 } as StreamState;
const source = 'shop@7412345678901234567';
const cloudEvents = createCloudEventHeaders(source);

const blockOf = (event: ReturnType<typeof storedEvent>) =>
  headerBlock(event, {
    stream: 's',
    source,
    messageId: event.eventId,
    expectedLastSequence: Number.MAX_SAFE_INTEGER,
    cloudEvents,
  });

test('headers that fit without those of a CloudEvent, and not with them, are found before the event is planned', () => {
  const key = '€'.repeat(170);
  const event = storedEvent(1, { key, type: key, headers: { a: 'x'.repeat(62_000) } });
  expect(storageFault(event, { stream, maxPayload: SERVER })).toBeUndefined();
  expect(storageFault(event, { stream, maxPayload: SERVER, cloudEvents })).toContain('JetStream takes 65535');
});

test('so is a message that outgrows the stream by them', () => {
  const small = { ...stream, maxMessageSize: 4_000 };
  const event = storedEvent(1, { payload: Buffer.alloc(2_900) });
  expect(storageFault(event, { stream: small, maxPayload: SERVER })).toBeUndefined();
  expect(storageFault(event, { stream: small, maxPayload: SERVER, cloudEvents })).toContain('max_msg_size');
});

const text = (maxLength: number) =>
  fc
    .string({
      unit: fc.oneof(fc.constantFrom('€', '"', 'x', '\u0001'), fc.string({ unit: 'grapheme' })),
      maxLength,
    })
    .filter((value) => !/[\r\n\0]/.test(value));

test('an event of which the message is too large by one byte is never let through, whatever it holds', () => {
  fc.assert(
    fc.property(
      fc.option(text(500)),
      fc.option(text(500)),
      fc.option(fc.dictionary(fc.constantFrom('a', 'Content-Type', 'ce-id', 'CE-subject'), text(100))),
      fc.constantFrom('{}', 'text'),
      (key, type, headers, payload) => {
        const event = storedEvent(1, { key, type, headers, payload: Buffer.from(payload) });
        const size = Buffer.byteLength(blockOf(event)) + event.payload.length;
        const tooSmall = { ...stream, maxMessageSize: size - 1 };
        expect(storageFault(event, { stream: tooSmall, maxPayload: SERVER, cloudEvents })).toBeDefined();
      },
    ),
  );
});

test('the bound that doctor counts with holds for the longest key, type and source', () => {
  const longest = createCloudEventHeaders('"'.repeat(200));
  const headers = { 'Content-Type': `text/${' '.repeat(250)}` };
  for (const given of [null, headers]) {
    const event = storedEvent(1, {
      eventId: '0190f5a4-0000-7000-8000-000000000001',
      subject: '€'.repeat(85),
      key: '€'.repeat(170),
      type: '€'.repeat(170),
      headers: given,
    });
    expect(longest.sizeOf(event)).toBeLessThanOrEqual(CLOUD_EVENT_BYTES);
  }
});
