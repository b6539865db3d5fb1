import { expect, test } from 'vitest';
import { classifyReply } from '../../src/jetstream/index.ts';
import { createAckScanner } from '../../src/jetstream/outcome.ts';

const text = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const refusal = (code: number, errCode: number, description: string) =>
  text({ error: { code, err_code: errCode, description }, stream: 'S', seq: 0 });

test.each([
  [
    { stream: 'S', seq: 1 },
    { kind: 'stored', sequence: 1 },
  ],
  [
    { stream: 'S', domain: 'hub', seq: 9 },
    { kind: 'stored', sequence: 9 },
  ],
  [
    { stream: 'S', seq: 3, duplicate: true },
    { kind: 'duplicate', sequence: 3 },
  ],
  [
    { stream: 'S', seq: 0, duplicate: true },
    { kind: 'duplicate', sequence: 0 },
  ],
  [
    { stream: 'S', seq: 3, duplicate: false },
    { kind: 'stored', sequence: 3 },
  ],
])('%j is %j', (answer, outcome) => {
  expect(classifyReply({ data: text(answer) }, 'S')).toEqual(outcome);
});

test.each([
  { stream: 'T', seq: 1 },
  { stream: '', seq: 1 },
  { seq: 1 },
  { stream: 'S' },
  { stream: 'S', seq: 0 },
  { stream: 'S', seq: -1 },
  { stream: 'S', seq: 1.5 },
  { stream: 'S', seq: '1' },
  { stream: 'S', seq: 2 ** 60 },
  { stream: 'T', seq: 1, duplicate: true },
  {},
  [],
  'ok',
  '',
  'null',
  '7',
  '{"stream":"S","seq":1',
])('%j settles nothing', (answer) => {
  expect(classifyReply({ data: text(answer) }, 'S').kind).toBe('ambiguous');
});

test.each([
  [10071, 400, 'wrong last sequence: 5', 'ambiguous'],
  [10164, 400, 'wrong last sequence', 'ambiguous'],
  [10070, 400, 'wrong last msg ID: x', 'ambiguous'],
  [10063, 503, 'expected stream sequence does not match', 'ambiguous'],
  [10158, 409, 'duplicate message id is in process', 'ambiguous'],
  [10060, 400, 'expected stream does not match', 'unavailable'],
  [10109, 400, 'invalid operation on sealed stream', 'unavailable'],
  [10059, 404, 'stream not found', 'unavailable'],
  [10008, 503, 'JetStream system temporarily unavailable', 'unavailable'],
  [10009, 500, 'JetStream cluster can not handle request', 'unavailable'],
  [10039, 503, 'JetStream not enabled for account', 'unavailable'],
  [10076, 503, 'JetStream not enabled', 'unavailable'],
  [10118, 500, 'stream is offline', 'unavailable'],
  [10169, 400, 'message counter increment is missing', 'unavailable'],
  [19999, 400, 'something of a later server', 'unavailable'],
  [10077, 503, 'maximum messages exceeded', 'saturated'],
  [10077, 503, 'maximum bytes exceeded', 'saturated'],
  [10077, 503, 'maximum messages per subject exceeded', 'saturated'],
  [10077, 503, 'write /data/1.blk: no space left on device', 'saturated'],
  [10077, 503, 'store is closed', 'unavailable'],
  [10077, 503, 'message too large', 'refused'],
  [10002, 400, 'resource limits exceeded for account', 'saturated'],
  [10023, 503, 'insufficient resources', 'saturated'],
  [10028, 500, 'insufficient memory resources available', 'saturated'],
  [10047, 500, 'insufficient storage resources available', 'saturated'],
  [10122, 400, 'stream max bytes exceeds account limit max stream bytes', 'saturated'],
  [10167, 429, 'too many requests', 'saturated'],
  [19998, 429, 'too many of something', 'saturated'],
  [10054, 400, 'message size exceeds maximum allowed', 'refused'],
  [10097, 400, 'header size exceeds maximum allowed of 64k', 'refused'],
  [10165, 400, 'invalid per-message TTL', 'refused'],
  [10111, 500, 'rollup value invalid', 'refused'],
])('%i (%i %s) is %s', (errCode, code, description, kind) => {
  const outcome = classifyReply({ data: refusal(code, errCode, description) }, 'S');
  expect(outcome).toEqual({ kind, reason: `${description} (${code}/${errCode})` });
});

test('statuses without a body are judged by themselves', () => {
  const data = Buffer.alloc(0);
  expect(classifyReply({ data, status: 503 }, 'S').kind).toBe('unavailable');
  expect(classifyReply({ data, status: 429 }, 'S').kind).toBe('saturated');
  expect(classifyReply({ data, status: 412 }, 'S').kind).toBe('unavailable');
  expect(classifyReply({ data, status: 0 }, 'S').kind).toBe('ambiguous');
});

test('the scanner reads only what it knows byte for byte', () => {
  const scan = createAckScanner('S');
  expect(scan(text('{"stream":"S", "seq":12}'))).toBe(12);
  expect(scan(text('{"stream":"S","seq":123456789012345}'))).toBe(123456789012345);
  for (const other of [
    '{"stream":"T","seq":12}',
    '{"stream":"S","seq":}',
    '{"stream":"S","seq":0}',
    '{"stream":"S","seq":-1}',
    '{"stream":"S","seq":1.5}',
    '{"stream":"S","seq":1e3}',
    '{"stream":"S","seq":12',
    '{"stream":"S","seq":12} ',
    '{"stream":"S","seq":12,"duplicate":true}',
    '{"stream":"S", "domain":"D", "seq":12}',
    '{"stream":"S","seq":1234567890123456}',
    '',
  ])
    expect(scan(text(other)), other).toBe(0);
});
