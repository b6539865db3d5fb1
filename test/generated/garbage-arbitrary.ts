import fc from 'fast-check';
import type { Mischief, Question } from './fake-nats.ts';
import { hostileText } from './hostile-text.ts';

/** Numbers that are no sequence, and values that are no numbers. */
const NO_SEQUENCE = [
  0,
  -1,
  1.5,
  -(2 ** 53),
  2 ** 53,
  1e300,
  '5',
  '',
  null,
  true,
  [],
  {},
  [5],
  { seq: 5 },
] as const;

const NO_JSON = [
  '',
  '{',
  '{"stream":',
  'null',
  'true',
  '[]',
  '[[]]',
  '5',
  '"text"',
  '-ERR',
  '+OK',
  '<html>',
  '\u0000',
];

const noJson = fc.oneof(
  fc.constantFrom(...NO_JSON),
  hostileText,
  fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
  fc.constant(`"${'x'.repeat(100_000)}"`),
  fc.constant('['.repeat(5_000)),
);

/** Codes that say "this message can never be stored" are no garbage: they make a dead letter, rightly. */
const JUDGING_MESSAGE = new Set([
  10054, 10077, 10097, 10111, 10165, 10166, 10168, 10170, 10171, 10174, 10175, 10179, 10188, 10189, 10190,
  10191, 10192, 10203, 10205, 10212, 10223, 10227,
]);
const errCode = fc.oneof(
  fc.integer({ min: 10_000, max: 10_300 }).filter((code) => !JUDGING_MESSAGE.has(code)),
  fc.constantFrom(-1, 0, 1e9, 1.5, '10054', null, {}),
);
const error = fc.oneof(
  fc.constantFrom(
    null,
    'no',
    5,
    [],
    {},
    { description: {} },
    { code: '503' },
    { err_code: 'x', description: 7 },
  ),
  fc
    .tuple(fc.constantFrom(400, 404, 429, 500, 503, -1, 'x', null), errCode, hostileText)
    .map(([code, err_code, description]) => ({ code, err_code, description })),
);

/** Answers to a publish of which none is an acknowledgement, as a function of the sequence that would be right. */
const ack: fc.Arbitrary<(stream: string, sequence: number) => Mischief> = fc.oneof(
  noJson.map((answer) => () => ({ answers: [answer] })),
  error.map((what) => () => ({ answers: [JSON.stringify({ error: what })] })),
  fc
    .constantFrom(...NO_SEQUENCE)
    .map((seq) => (stream: string) => ({ answers: [JSON.stringify({ stream, seq })] })),
  fc.constantFrom('other', '', 5, null, undefined, ['x']).map((stream) => (_: string, seq: number) => ({
    answers: [JSON.stringify({ stream, seq })],
  })),
  fc.constantFrom(0, 1).map((times) => (stream: string, sequence: number) => ({
    answers: [JSON.stringify({ stream, seq: sequence * times, duplicate: true })],
  })),
  fc
    .constantFrom(
      '503',
      '503 No Responders',
      '429',
      '400 Bad Request',
      '100 Idle Heartbeat',
      '999',
      'x',
      '-1',
      '408',
    )
    .chain((status) => noJson.map((answer) => () => ({ status, answers: [answer] }))),
);

/** Acknowledged where it was not planned: in `stream` ordering that is no acknowledgement either. */
const elsewhere = fc
  .constantFrom(-3, -1, 1, 2, 1_000, 2 ** 40)
  .map((by) => (stream: string, sequence: number) => ({
    answers: [JSON.stringify({ stream, seq: Math.max(1, sequence + by === sequence ? 1 : sequence + by) })],
  }));

export type AckGarbage = (stream: string, sequence: number) => Mischief;

export function ackGarbage(ordering: 'stream' | 'key'): fc.Arbitrary<AckGarbage> {
  if (ordering === 'key') return ack;
  return fc.oneof(
    { weight: 6, arbitrary: ack },
    { weight: 1, arbitrary: elsewhere.filter((make) => isElsewhere(make)) },
  );
}

/** Sequence 1 has nothing before it. */
function isElsewhere(make: AckGarbage): boolean {
  return make('s', 1).answers?.[0] !== JSON.stringify({ stream: 's', seq: 1 });
}

/** Of another type or out of range, whatever it stands for. */
const wrong = fc.constantFrom<unknown>(null, 'x', '', -1, 1.5, 1e300, true, [], {}, [null], [5], '5');

type Path = readonly string[];
const INFO_PATHS: readonly Path[] = [
  [],
  ['created'],
  ['config'],
  ['config', 'name'],
  ['config', 'subjects'],
  ['config', 'retention'],
  ['config', 'max_msg_size'],
  ['config', 'duplicate_window'],
  ['config', 'mirror'],
  ['state'],
  ['state', 'messages'],
  ['state', 'first_seq'],
  ['state', 'last_seq'],
  ['error'],
  ['cluster'],
];
const GET_PATHS: readonly Path[] = [
  [],
  ['message'],
  ['message', 'seq'],
  ['message', 'subject'],
  ['message', 'hdrs'],
  ['error'],
];

/** Answers to requests that no server gives: no JSON, or a field of a wrong type. */
export function apiGarbage(): fc.Arbitrary<(question: Question) => Mischief> {
  const spoil = (paths: readonly Path[]) =>
    fc.tuple(fc.constantFrom(...paths), wrong).map(([path, value]) => (question: Question) => ({
      answers: [JSON.stringify(withValue(question.honest, path, value))],
    }));
  const spoilInfo = spoil(INFO_PATHS);
  const spoilGet = spoil(GET_PATHS);
  return fc.oneof(
    noJson.map((answer) => () => ({ answers: [answer] })),
    error.map((what) => () => ({ answers: [JSON.stringify({ error: what })] })),
    fc.tuple(spoilInfo, spoilGet).map(
      ([info, get]) =>
        (question: Question) =>
          question.kind === 'get' ? get(question) : info(question),
    ),
    fc.constant(() => ({ status: '503', answers: [''] })),
  );
}

function withValue(whole: unknown, path: Path, value: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return value;
  const object = typeof whole === 'object' && whole !== null ? (whole as Record<string, unknown>) : {};
  return { ...object, [first]: withValue(object[first], rest, value) };
}

/** Lines that a server may say; some of them end the connection. */
export const HARMLESS: readonly string[] = [
  "-ERR 'Unknown Protocol Operation'\r\n",
  "-ERR 'Authorization Violation'\r\n",
  "-ERR 'User Authentication Expired'\r\n",
  "-ERR 'Stale Connection'\r\n",
  "-ERR 'Slow Consumer'\r\n",
  "-ERR 'Maximum Payload Violation'\r\n",
  "-ERR 'Maximum Connections Exceeded'\r\n",
  "-ERR 'Invalid Subject'\r\n",
  '-ERR \'Permissions Violation for Publish to "x"\'\r\n',
  '-ERR \'Permissions Violation for Subscription to "_INBOX.x"\'\r\n',
  "-ERR 'Something new'\r\n",
  '-ERR\r\n',
  '+OK\r\n',
  'PONG\r\nPONG\r\nPONG\r\n',
  'PING\r\n'.repeat(50),
  'INFO {"max_payload": 0}\r\n',
  'INFO {"max_payload": -1, "headers": true}\r\n',
  'INFO {"max_payload": "x", "headers": true}\r\n',
  'INFO {"max_payload": null}\r\n',
  'INFO {"ldm": true, "connect_urls": ["x:1", "", "::", 5]}\r\n',
];

/** Lines that a server never says. */
export const DEAFENING: readonly string[] = [
  'INFO {\r\n',
  'INFO null\r\n',
  'INFO 5\r\n',
  'MSG nobody 999999 5\r\nhello\r\n',
  'MSG nobody x 5\r\nhello\r\n',
  'MSG nobody 1 -5\r\n',
  'MSG nobody 1\r\n',
  'MSG\r\n',
  'HMSG nobody 1 50 5\r\nhello\r\n',
  'HMSG nobody 1 x y\r\n',
  'MSG nobody 1 99999999999\r\n',
  'MS',
  '\u0000\u0000\u0000',
  'HTTP/1.1 400 Bad Request\r\n\r\n',
  '\r\n\r\n',
  'x'.repeat(100_000),
];
