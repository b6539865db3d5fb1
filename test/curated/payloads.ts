import { MAX_PAYLOAD } from '../generated/event-arbitrary.ts';
import type { HostileEvent, Verdict } from './hostile-event.ts';

export const PAYLOADS: readonly HostileEvent[] = [
  carried('no bytes at all', new Uint8Array()),
  carried('one NUL', Buffer.from([0])),
  carried(
    'every byte',
    Uint8Array.from({ length: 256 }, (_, i) => i),
  ),
  carried('no UTF-8', Buffer.from([0xc3, 0x28, 0xff, 0xfe])),
  carried('a byte order mark', Buffer.from('\ufeff{}')),
  carried('lines of the protocol', Buffer.from('\r\n\r\nPUB curated.a 0\r\n\r\n+OK\r\n')),
  carried("bytea's escapes as text", Buffer.from('\\x00\\000\\\\')),
  carried('base64 as text', Buffer.from('AAAA====')),
  carried('a part of a larger buffer', Buffer.from('secret bytes secret').subarray(7, 12)),
  carried('bytes in shared memory', new Uint8Array(new SharedArrayBuffer(3))),
  carried('1,000,000 bytes', Buffer.alloc(MAX_PAYLOAD, 'x')),
  {
    about: '1,000,000 bytes together with headers',
    event: { payload: Buffer.alloc(MAX_PAYLOAD - 10), headers: { a: 'b' } },
    verdict: 'carried',
  },
  carried('JSON: null', null),
  carried('JSON: false', false),
  carried('JSON: zero', 0),
  carried('JSON: an empty text', ''),
  carried('JSON: an empty list', []),
  carried('JSON: an empty object', {}),
  carried('JSON: a text with NUL', 'a\u0000b'),
  carried('JSON: half a surrogate pair', '\ud800'),
  carried('JSON: a property called __proto__', JSON.parse('{"__proto__": {"a": 1}}')),
  carried('JSON: the largest number', Number.MAX_VALUE),
  carried('JSON: beyond whole numbers', 2 ** 53 + 2),
  carried('JSON: no number, which becomes null', Number.NaN),
  carried('JSON: a date, which becomes a text', new Date(0)),
  carried('JSON: its own toJSON', { toJSON: () => ({ a: 1 }) }),
  carried('JSON: 1,000 levels', JSON.parse('['.repeat(1_000) + ']'.repeat(1_000))),

  refused('1,000,001 bytes', Buffer.alloc(MAX_PAYLOAD + 1), tooLarge(1_000_001, 2)),
  {
    about: 'one byte too many together with headers',
    event: { payload: Buffer.alloc(MAX_PAYLOAD - 9), headers: { a: 'b' } },
    verdict: tooLarge(999_991, 10),
  },
  noJson('undefined', undefined, /its payload is undefined, which JSON cannot express/),
  noJson('a function', () => 1, /its payload is function, which JSON cannot express/),
  noJson('a symbol', Symbol('a'), /its payload is symbol, which JSON cannot express/),
  noJson('toJSON without a result', { toJSON: () => undefined }, /which JSON cannot express/),
  noJson(
    'toJSON that throws',
    { toJSON: throwing },
    /its payload cannot be written as JSON \(no words for it\)/,
  ),
  noJson('a bigint', 1n, /its payload cannot be written as JSON \(.*BigInt/),
  noJson('a bigint deep inside', { a: [{ b: 1n }] }, /its payload cannot be written as JSON \(.*BigInt/),
  noJson('a circle', circle(), /its payload cannot be written as JSON \(.*circular/),
  noJson(
    'an ArrayBuffer',
    new ArrayBuffer(3),
    /its payload is of the class ArrayBuffer, which JSON cannot express/,
  ),
  noJson(
    'a DataView',
    new DataView(new ArrayBuffer(3)),
    /its payload is of the class DataView, which JSON cannot express/,
  ),
  noJson(
    'numbers that are no bytes',
    Float64Array.of(1),
    /its payload is of the class Float64Array, which JSON cannot/,
  ),
  noJson('a Map', new Map([['a', 1]]), /its payload is of the class Map, which JSON cannot express/),
  noJson('a Set', new Set([1]), /its payload is of the class Set, which JSON cannot express/),
  noJson(
    'a forgotten await',
    Promise.resolve('a'),
    /its payload is of the class Promise, which JSON cannot express/,
  ),
  noJson('an Error', new Error('a'), /its payload is of the class Error, which JSON cannot express/),
];

function carried(about: string, payload: unknown): HostileEvent {
  return { about, event: { payload }, verdict: 'carried' };
}

function refused(about: string, payload: unknown, verdict: Verdict): HostileEvent {
  return { about, event: { payload }, verdict };
}

function noJson(about: string, payload: unknown, verdict: Verdict): HostileEvent {
  return { ...refused(about, payload, verdict), only: 'script' };
}

function tooLarge(payload: number, headers: number): RegExp {
  return new RegExp(
    `payload \\(${payload} bytes\\) and headers \\(${headers} bytes\\) are larger than the limit of 1000000 bytes`,
  );
}

function throwing(): never {
  throw new Error('no words for it');
}

function circle(): object {
  const round: { self?: object } = {};
  round.self = round;
  return round;
}
