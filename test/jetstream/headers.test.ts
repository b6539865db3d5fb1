import { MsgHdrsImpl } from '@nats-io/nats-core/internal';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  HEADER,
  headerBlock,
  headerFault,
  headerValue,
  markerHeaderBlock,
} from '../../src/jetstream/index.ts';
import { storedEvent } from './fixture.ts';

const options = { stream: 'events', source: 'shop/7', messageId: null, expectedLastSequence: null };

test('the block holds what the relay, the broker and the consumer need, byte for byte', () => {
  const event = storedEvent(7, {
    key: 'patient:1',
    type: 'registered',
    headers: { traceparent: '00-ab-cd-01' },
  });
  const block = headerBlock(event, { ...options, messageId: 'id-7', expectedLastSequence: 0 });
  expect(block).toBe(
    'NATS/1.0\r\nNats-Expected-Stream: events\r\nPostcommit-Source: shop/7\r\nPostcommit-Position: 7\r\n' +
      'Postcommit-Event-Id: event-7\r\nNats-Msg-Id: id-7\r\nNats-Expected-Last-Sequence: 0\r\n' +
      'Postcommit-Key: patient:1\r\nPostcommit-Type: registered\r\ntraceparent: 00-ab-cd-01\r\n\r\n',
  );
});

const decode = (block: string) => MsgHdrsImpl.decode(Buffer.from(block));

test('streams and sources that take turns do not mix', () => {
  for (const stream of ['one', 'two', 'one']) {
    const decoded = decode(headerBlock(storedEvent(1), { ...options, stream, source: `${stream}!` }));
    expect([decoded.get(HEADER.expectedStream), decoded.get(HEADER.source)]).toEqual([stream, `${stream}!`]);
  }
});

// The client trims values when it decodes them.
const visible = fc
  .string({ unit: 'grapheme', minLength: 1 })
  .filter((text) => text.trim() === text && !/[\r\n]|\0/.test(text));

test('what the client decodes is what the event had, colons and non-ASCII included', () => {
  fc.assert(
    fc.property(
      visible,
      visible,
      fc.dictionary(fc.stringMatching(/^x-[!#-9;-~]+$/), visible),
      (key, type, headers) => {
        const decoded = decode(headerBlock(storedEvent(1, { key, type, headers }), options));
        expect(decoded.get(HEADER.key)).toBe(key);
        expect(decoded.get(HEADER.type)).toBe(type);
        for (const [name, value] of Object.entries(headers)) expect(decoded.get(name)).toBe(value);
      },
    ),
  );
});

test('a marker names the event it stands for and has no event id of its own', () => {
  const block = markerHeaderBlock(
    { eventId: 'e', position: 9 },
    { stream: 's', source: 'db', expectedLastSequence: 4 },
  );
  expect(headerValue(block, HEADER.skipped)).toBe('e');
  expect(headerValue(block, HEADER.position)).toBe('9');
  expect(headerValue(block, HEADER.expectedLastSequence)).toBe('4');
  expect(headerValue(block, HEADER.eventId)).toBeNull();
});

test.each([
  ['a line break in the key', { key: 'k\r\nNats-Rollup: all' }, 'key'],
  ['a line break in the type', { type: 't\n' }, 'type'],
  ['NUL in a value', { headers: { a: 'b\u0000' } }, 'header a'],
  ['a line break in a name', { headers: { 'a\r\nNats-Rollup': 'all' } }, 'name'],
  ['a colon in a name', { headers: { 'a:b': 'c' } }, 'name'],
  ['an empty name', { headers: { '': 'c' } }, 'name'],
  ['a reserved name', { headers: { 'nats-Rollup': 'all' } }, 'reserved'],
  ['a reserved name of ours', { headers: { 'POSTCOMMIT-Position': '1' } }, 'reserved'],
])('%s never reaches the wire', (_what, fields, reason) => {
  const event = storedEvent(1, fields as object);
  expect(headerFault(event)).toContain(reason);
  expect(() => headerBlock(event, options)).toThrow(expect.objectContaining({ code: 'event-invalid' }));
});

test('a value is read as it was written', () => {
  expect(headerValue('NATS/1.0\r\nA:x\r\nB:  y \r\n\r\n', 'A')).toBe('x');
  expect(headerValue('NATS/1.0\r\nA:x\r\nB:  y \r\n\r\n', 'B')).toBe(' y ');
  expect(headerValue('NATS/1.0\r\nXA: x\r\n\r\n', 'A')).toBeNull();
});
