import fc from 'fast-check';
import { hostileText, longText, plainText } from './hostile-text.ts';

/** An event as somebody might hand it to any of the doors, right or wrong. */
export interface Candidate {
  readonly subject: string;
  readonly key: string | undefined;
  readonly type: string | undefined;
  readonly headers: Readonly<Record<string, unknown>> | undefined;
  readonly eventId: string | undefined;
  readonly payload: Payload;
}

export type Payload =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'json'; readonly value: unknown };

/** Of the migration's default. */
export const MAX_PAYLOAD = 1_000_000;

const token = fc.oneof(
  { weight: 6, arbitrary: fc.stringMatching(/^[a-z0-9_-]{1,12}$/) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('$JS', 'API', '_INBOX', 'Zoë', '渡辺', '🏥', '%', '"', '\\', 'a:b'),
  },
);

/** Most lie below the prefix, where the stream takes what the doors let through; the others must not be kept. */
function subject(prefix: string): fc.Arbitrary<string> {
  const plain = fc.array(token, { minLength: 1, maxLength: 5 }).map((tokens) => tokens.join('.'));
  const hostile = fc.oneof(
    hostileText,
    fc.tuple(plain, hostileText).map(([good, bad]) => good + bad),
    fc.tuple(plain, hostileText, plain).map(([one, bad, other]) => `${one}.${bad}.${other}`),
    fc.constantFrom('*', '>', 'a.*', 'a.>', 'a..b', '.a', 'a.', '', '$SYS.x', '$JS.API.STREAM.DELETE.x'),
    longText(fc.integer({ min: 200, max: 400 })).map((text) => text.replaceAll(/[\s"\\]/g, '-')),
  );
  return fc.oneof(
    { weight: 10, arbitrary: plain.map((rest) => `${prefix}.${rest}`) },
    { weight: 2, arbitrary: hostile.map((rest) => `${prefix}.${rest}`) },
    { weight: 1, arbitrary: hostile },
  );
}

const label = fc.oneof(
  { weight: 4, arbitrary: fc.constant(undefined) },
  { weight: 8, arbitrary: plainText },
  { weight: 2, arbitrary: hostileText },
  { weight: 1, arbitrary: longText(fc.integer({ min: 500, max: 530 })) },
  { weight: 1, arbitrary: fc.constantFrom('', 'null', '0', 'true', 'Nats-Rollup: all') },
);

const inAnyCase = (name: string) =>
  fc.mixedCase(fc.constant(name), {
    toggleCase: (letter) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()),
  });

const headerName = fc.oneof(
  { weight: 16, arbitrary: fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,20}$/) },
  { weight: 3, arbitrary: fc.stringMatching(/^[!-9;-~]{1,12}$/) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'traceparent',
      'ce-id',
      'content-type',
      '__proto__',
      'constructor',
      'toJSON',
      '0',
      '17',
      'Natsy',
      'x-nats-id',
      'NATS/1.0',
    ),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('Nats-Msg-Id', 'Nats-Rollup', 'Nats-TTL', 'Postcommit-Source', 'Postcommit-Skipped')
      .chain(inAnyCase),
  },
  { weight: 1, arbitrary: hostileText },
);

const headerValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 20, arbitrary: plainText },
  { weight: 1, arbitrary: fc.constant('') },
  { weight: 2, arbitrary: hostileText },
  { weight: 1, arbitrary: fc.constantFrom(1, true, null, {}, ['a'], { a: 'b' }) },
);

const headers = fc.oneof(
  { weight: 4, arbitrary: fc.constant(undefined) },
  {
    weight: 10,
    arbitrary: fc
      .array(fc.tuple(headerName, headerValue), { maxLength: 4 })
      .map((entries): Record<string, unknown> => Object.fromEntries(entries)),
  },
);

const eventId = fc.oneof(
  { weight: 8, arbitrary: fc.constant(undefined) },
  // Without bias: ids that repeat are one effect, and another test's matter.
  { weight: 8, arbitrary: fc.noBias(fc.uuid()) },
  { weight: 2, arbitrary: fc.noBias(fc.uuid()).map((id) => id.toUpperCase()) },
  { weight: 1, arbitrary: fc.oneof(hostileText, fc.constantFrom('', '17', 'not-a-uuid')) },
);

const payload: fc.Arbitrary<Payload> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.jsonValue({ stringUnit: 'binary' }).map((value) => ({ kind: 'json', value }) as const),
  },
  {
    weight: 4,
    arbitrary: fc
      .object()
      .map((value) => ({ kind: 'json', value: JSON.parse(JSON.stringify(value)) }) as const),
  },
  { weight: 2, arbitrary: hostileText.map((value) => ({ kind: 'json', value }) as const) },
  {
    weight: 4,
    arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => ({ kind: 'bytes', bytes }) as const),
  },
  { weight: 2, arbitrary: hostileText.map((text) => ({ kind: 'bytes', bytes: Buffer.from(text) }) as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'bytes', bytes: new Uint8Array() } as const) },
);

export function candidate(prefix: string): fc.Arbitrary<Candidate> {
  return fc.record({ subject: subject(prefix), key: label, type: label, headers, eventId, payload });
}

/** Near and beyond what a message may hold: too slow to send by the thousand. */
export function largeCandidate(prefix: string): fc.Arbitrary<Candidate> {
  const size = fc.oneof(
    fc.integer({ min: MAX_PAYLOAD - 300, max: MAX_PAYLOAD + 300 }),
    fc.constantFrom(65_535, 65_536, MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 1_048_576, 2_000_000),
  );
  const fill = fc.tuple(size, fc.integer({ max: 255 }));
  const largePayload = fill.map(
    ([length, byte]) => ({ kind: 'bytes', bytes: Buffer.alloc(length, byte) }) as const,
  );
  const sizes = fc.oneof(
    fc.integer({ min: 1_000, max: 59_000 }),
    fc.integer({ min: 59_900, max: 70_000 }),
    fc.constant(500_000),
  );
  const largeHeaders = fc.oneof(
    longText(sizes).map((value) => ({ large: value })),
    fc
      .integer({ min: 100, max: 8_000 })
      .map((count) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`h-${i}`, 'v']))),
  );
  const small = candidate(prefix);
  return fc.oneof(
    fc
      .tuple(small, largePayload)
      .map(([event, large]) => ({ ...event, subject: `${prefix}.large`, payload: large })),
    fc
      .tuple(small, largeHeaders)
      .map(([event, large]) => ({ ...event, subject: `${prefix}.large`, headers: large })),
    fc
      .tuple(small, largeHeaders, largePayload)
      .map(([event, one, other]) => ({ ...event, subject: `${prefix}.large`, headers: one, payload: other })),
  );
}

/** What the doors for bytes are given. */
export function bytesOf(content: Payload): Uint8Array {
  return content.kind === 'bytes' ? content.bytes : Buffer.from(JSON.stringify(content.value));
}
