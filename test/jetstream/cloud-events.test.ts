import { MsgHdrsImpl } from '@nats-io/nats-core/internal';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { StoredEvent } from '../../src/event.ts';
import {
  cloudEventOf,
  contentOf,
  createCloudEventHeaders,
  headerBlock,
  headerFault,
  toConsumedEvent,
} from '../../src/jetstream/index.ts';
import { asUriReference } from '../../src/jetstream/uri-reference.ts';
import { storedEvent } from './fixture.ts';

const SOURCE = 'shop@7';

const blockOf = (event: StoredEvent, source = SOURCE) =>
  headerBlock(event, {
    stream: 's',
    source,
    messageId: null,
    expectedLastSequence: null,
    cloudEvents: createCloudEventHeaders(source),
  });

/** As a consumer finds it in the stream. */
const received = (event: StoredEvent, source = SOURCE) =>
  contentOf({
    subject: event.subject,
    headers: MsgHdrsImpl.decode(Buffer.from(blockOf(event, source))),
    data: event.payload,
  });

/** Names and values as they are on the wire. */
const ceLines = (event: StoredEvent) =>
  blockOf(event)
    .split('\r\n')
    .filter((line) => /^ce-/i.test(line));

const JSON_PAYLOAD = { payload: Buffer.from('{"name": "Ada"}') };

test('the lines are those of the binding, each once, before the headers of the writer', () => {
  const event = storedEvent(7, {
    eventId: '0190f5a4-0000-7000-8000-000000000001',
    subject: 'events.patient.registered',
    key: 'patient 1',
    type: 'com.example.patient.registered',
    createdAtMs: Date.UTC(2018, 3, 5, 17, 31, 0, 250),
    headers: { traceparent: '00-ab-cd-01' },
    ...JSON_PAYLOAD,
  });
  expect(blockOf(event)).toBe(
    'NATS/1.0\r\nNats-Expected-Stream: s\r\nPostcommit-Source: shop@7\r\nPostcommit-Position: 7\r\n' +
      'Postcommit-Event-Id: 0190f5a4-0000-7000-8000-000000000001\r\nPostcommit-Key: patient 1\r\n' +
      'Postcommit-Type: com.example.patient.registered\r\n' +
      'ce-specversion: 1.0\r\nce-id: 0190f5a4-0000-7000-8000-000000000001\r\nce-source: shop@7\r\n' +
      'ce-type: com.example.patient.registered\r\nce-time: 2018-04-05T17:31:00.250Z\r\nce-subject: patient%201\r\n' +
      'ce-datacontenttype: application/json\r\ntraceparent: 00-ab-cd-01\r\n\r\n',
  );
});

test('an event without type and key has its subject for a type, and no subject', () => {
  const event = storedEvent(1, { subject: 'events.a', ...JSON_PAYLOAD });
  expect(cloudEventOf(received(event))).toMatchObject({ type: 'events.a', subject: null });
  const copy = { ...event, subject: 'again.events.a', ownSubject: 'events.a' };
  expect(cloudEventOf(received(copy))).toMatchObject({ type: 'events.a' });
});

test.each([
  ['JSON', '{"a": 1}', 'application/json'],
  ['text', 'hello', null],
  ['text in braces', '{hello}', null],
  ['nothing', '', null],
])('a payload of %s is said to be %s', (_what, payload, type) => {
  const event = storedEvent(1, { payload: Buffer.from(payload) });
  expect(cloudEventOf(received(event))?.datacontenttype).toBe(type);
});

test.each([
  ['a Content-Type', { 'content-TYPE': 'text/xml; charset=utf-8' }, 'text/xml; charset=utf-8'],
  ['a Content-Type that is no media type', { 'Content-Type': 'json' }, null],
  ['ce-datacontenttype', { 'CE-DataContentType': 'text/csv' }, 'text/csv'],
  ['both', { 'ce-datacontenttype': 'text/csv', 'Content-Type': 'text/plain' }, 'text/csv'],
])('where the writer says %s, that counts and nothing is claimed', (_what, headers, type) => {
  const event = storedEvent(1, { headers, ...JSON_PAYLOAD });
  expect(cloudEventOf(received(event))?.datacontenttype).toBe(type);
});

test("a writer's own attributes win, in any case, and none is there twice", () => {
  const headers = {
    'CE-ID': 'own',
    'Ce-Source': '/own',
    'ce-TIME': '2020-01-01T00:00:00Z',
    'ce-tenant': 'a%20b',
  };
  const event = storedEvent(1, { type: 't', key: 'k', headers });
  const names = ceLines(event).map((line) => line.split(':')[0]?.toLowerCase());
  expect(names).toHaveLength(new Set(names).size);
  expect(cloudEventOf(received(event))).toEqual({
    specversion: '1.0',
    id: 'own',
    source: '/own',
    type: 't',
    time: '2020-01-01T00:00:00Z',
    subject: 'k',
    datacontenttype: null,
    dataschema: null,
    extensions: { tenant: 'a b' },
  });
});

test.each(['application/cloudevents+json', 'Application/CloudEvents-batch+json; charset=utf-8'])(
  'an event that its writer made a structured one (%s) gets none of them, and is not read',
  (contentType) => {
    const event = storedEvent(1, { headers: { 'Content-Type': contentType }, ...JSON_PAYLOAD });
    expect(ceLines(event)).toEqual([]);
    expect(cloudEventOf(received(event))).toBeNull();
    expect(cloudEventOf({ headers: { ...required, 'content-type': contentType } })).toBeNull();
  },
);

test.each([
  ['infinity', Number.POSITIVE_INFINITY],
  ['the year 10000', Date.UTC(10_000, 0)],
  ['a year before Christ', Date.UTC(-1, 0)],
  ['beyond what a Date holds', 9e15],
])('a time of %s has no place in RFC 3339 and is left out', (_what, createdAtMs) => {
  const event = storedEvent(1, { createdAtMs });
  expect(cloudEventOf(received(event))).toMatchObject({ id: 'event-1', time: null });
});

test('microseconds are cut off', () => {
  const event = storedEvent(1, { createdAtMs: 1_700_000_000_123.999 });
  expect(cloudEventOf(received(event))?.time).toBe('2023-11-14T22:13:20.123Z');
});

const label = fc
  .string({
    unit: fc.oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), fc.constantFrom('%', '"', ' ')),
  })
  .filter((text) => text !== '' && !/[\r\n\0]/.test(text));

test('what is written is read again, and its size is known beforehand', () => {
  const source = fc.stringMatching(/^[!-~]{1,30}$/);
  const time = fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) });
  fc.assert(
    fc.property(label, label, source, time, (key, type, source, time) => {
      const event = storedEvent(1, { key, type, createdAtMs: time.getTime(), ...JSON_PAYLOAD });
      expect(headerFault(event)).toBeUndefined();
      expect(cloudEventOf(received(event, source))).toEqual({
        specversion: '1.0',
        id: 'event-1',
        source: asUriReference(source),
        type,
        time: time.toISOString(),
        subject: key,
        datacontenttype: 'application/json',
        dataschema: null,
        extensions: {},
      });
      const headers = createCloudEventHeaders(source);
      expect(headers.sizeOf(event)).toBe(Buffer.byteLength(headers.linesOf(event)));
    }),
  );
});

test('markers and messages of a relay without the option have none of them', () => {
  const block = headerBlock(storedEvent(1), {
    stream: 's',
    source: SOURCE,
    messageId: null,
    expectedLastSequence: null,
  });
  expect(block).not.toContain('ce-');
});

const required = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/a', 'ce-type': 't' };

test("the spec's example of a message is read", () => {
  const headers = {
    'ce-specversion': '1.0',
    'ce-type': 'com.example.someevent',
    'ce-time': '2018-04-05T03:56:24Z',
    'ce-id': '1234-1234-1234',
    'ce-source': '/mycontext/subcontext',
    'ce-datacontenttype': 'application/json',
  };
  expect(cloudEventOf({ headers })).toEqual({
    specversion: '1.0',
    type: 'com.example.someevent',
    time: '2018-04-05T03:56:24Z',
    id: '1234-1234-1234',
    source: '/mycontext/subcontext',
    datacontenttype: 'application/json',
    subject: null,
    dataschema: null,
    extensions: {},
  });
});

test('extensions are those with names that an attribute can have', () => {
  const headers = {
    ...required,
    'CE-Comexampleothervalue': '5',
    'ce-data': 'x',
    'ce-a-b': 'x',
    'ce-': 'x',
    'x-ce-a': 'x',
  };
  expect(cloudEventOf({ headers })?.extensions).toEqual({ comexampleothervalue: '5' });
});

test.each([
  ...Object.keys(required).map((name) => [`no ${name}`, { [name]: undefined }]),
  ...Object.keys(required).map((name) => [`an empty ${name}`, { [name]: '' }]),
  ['another version', { 'ce-specversion': '0.3' }],
  ['an attribute that is there twice', { 'CE-ID': '2' }],
  ['a value that is no UTF-8', { 'ce-subject': '%C0%A0' }],
] as [string, Record<string, string | undefined>][])('with %s it is no CloudEvent', (_what, changed) => {
  const headers = Object.entries({ ...required, ...changed }).filter(([, value]) => value !== undefined);
  expect(cloudEventOf({ headers: Object.fromEntries(headers) as Record<string, string> })).toBeNull();
});

const consumed = (headers: Record<string, string>) => {
  const all = new MsgHdrsImpl();
  for (const [name, value] of Object.entries(headers)) all.set(name, value);
  return toConsumedEvent({
    subject: 'events.a',
    headers: all,
    data: Buffer.from('{}'),
    stream: 's',
    sequence: 3,
    time: new Date(0),
    deliveryCount: 1,
  });
};

test("another publisher's CloudEvent is consumed with its type, and by the id that it always had", () => {
  expect(consumed(required)).toMatchObject({ id: 's:3', type: 't', headers: required });
  expect(consumed({ ...required, 'Nats-Msg-Id': 'm' })).toMatchObject({ id: 'm', type: 't' });
  expect(consumed({ ...required, 'Postcommit-Type': 'own' })).toMatchObject({ type: 'own' });
  expect(consumed({ 'ce-type': 't' })).toMatchObject({ type: null });
});

test('an event of ours is consumed as it was written, with the option or without', () => {
  const event = storedEvent(1, { subject: 'events.a' });
  expect(received(event).type).toBeNull();
});
