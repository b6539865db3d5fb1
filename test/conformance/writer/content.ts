import { randomBytes, randomUUID } from 'node:crypto';
import type { Driver, RequestedEvent } from '../driver.ts';
import type { Published, Stage } from '../stage.ts';
import { expectSame, type Rule, Unmet } from '../verdict.ts';
import { expectPublished, idOf } from './written.ts';

/** What is written is what arrives. */
export const CONTENT: readonly Rule<Stage>[] = [
  { id: 'P-W4', about: 'bytes arrive as they were given', check: keepsBytes },
  { id: 'P-W5', about: 'JSON and text are UTF-8, whatever the characters', check: keepsCharacters },
  { id: 'P-W6', about: 'headers, key and type arrive as they were given', check: keepsHeaders },
  { id: 'P-W7', about: 'the id is the one that was chosen, or the one that is answered', check: keepsId },
  { id: 'P-W10', about: 'a payload of 1,000,000 bytes is taken, one more is refused', check: takesLargeOnes },
];

async function commitOne(stage: Stage, driver: Driver, event: RequestedEvent): Promise<Published> {
  await driver.do({ do: 'begin' });
  const { id } = await driver.do({ do: 'enqueue', event });
  await driver.do({ do: 'commit' });
  const [message] = await expectPublished(stage, [event.subject]);
  if (message === undefined) throw new Unmet('a message', 'there was none');
  expectSame('the answer to name the event', { seen: id ?? null, expected: idOf(message) ?? null });
  return message;
}

async function keepsBytes(stage: Stage): Promise<void> {
  await using driver = stage.drive();
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  for (const [name, bytes] of Object.entries({
    every: everyByte,
    escape: Buffer.from('\\x41\\000'),
    none: Buffer.alloc(0),
  })) {
    const subject = stage.subject(`bytes-${name}`);
    const { payload } = await commitOne(stage, driver, { subject, payloadBase64: bytes.toString('base64') });
    expectSame('the payload (in hexadecimal)', {
      seen: payload.toString('hex'),
      expected: bytes.toString('hex'),
    });
  }
}

const CHARACTERS = 'ẹ́kọ́ – Größe – 東京 – \u{1f3e5} – \' " \\ \\n :id %s $1 ; -- \u2028 \u0001';

async function keepsCharacters(stage: Stage): Promise<void> {
  await using driver = stage.drive();
  const [key, type] = ['schlüssel-ọ', 'größe.geändert'];
  const headers = { 'X-Name': 'Ọlá 東京 \u{1f3e5}', 'X-Quote': `it's "so" \\ :id %s $1` };
  for (const payload of [
    { name: CHARACTERS, [CHARACTERS]: [1.5, true, null, 'x\ny'] },
    CHARACTERS,
    [],
    0,
    null,
    false,
  ]) {
    const subject = stage.subject('größe.東京');
    const message = await commitOne(stage, driver, { subject, payload, key, type, headers });
    const seen = JSON.parse(message.payload.toString()) as unknown;
    expectSame('the payload', { seen: sorted(seen), expected: sorted(payload) });
    expectLabels(message, { key, type, headers });
  }
}

/** jsonb keeps no order of properties. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
}

async function keepsHeaders(stage: Stage): Promise<void> {
  await using driver = stage.drive();
  const headers = {
    traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    'X-Empty': '',
    "!#$%&'*+": 'all of ASCII',
    'event-version': '2',
  };
  const subject = stage.subject('headers');
  expectLabels(await commitOne(stage, driver, { subject, payload: {}, key: 'k', type: 't', headers }), {
    key: 'k',
    type: 't',
    headers,
  });
  expectLabels(await commitOne(stage, driver, { subject, payload: {} }), { headers: {} });
}

function expectLabels(
  { headers: seen }: Published,
  { key, type, headers }: { key?: string; type?: string; headers: Readonly<Record<string, string>> },
): void {
  const first = (name: string) => seen[name]?.[0] ?? null;
  expectSame('Postcommit-Key', { seen: first('Postcommit-Key'), expected: key ?? null });
  expectSame('Postcommit-Type', { seen: first('Postcommit-Type'), expected: type ?? null });
  const own = Object.entries(seen).filter(([name]) => !/^(nats|postcommit)-/i.test(name));
  const byName = (entries: (readonly [string, unknown])[]) => entries.sort(([a], [b]) => (a < b ? -1 : 1));
  expectSame('the headers of the event', {
    seen: byName(own),
    expected: byName(Object.entries(headers).map(([name, value]) => [name, [value]] as const)),
  });
}

async function keepsId(stage: Stage): Promise<void> {
  await using driver = stage.drive();
  const eventId = randomUUID();
  const subject = stage.subject('ids');
  const chosen = await commitOne(stage, driver, { subject, payload: {}, eventId });
  expectSame('the event id', { seen: idOf(chosen), expected: eventId });
  const ids = [
    idOf(await commitOne(stage, driver, { subject, payload: {} })),
    idOf(await commitOne(stage, driver, { subject, payload: {} })),
  ];
  if (ids[0] === ids[1]) throw new Unmet('an id of its own for each event', `both have ${ids[0]}`);
}

const LIMIT = 1_000_000;

async function takesLargeOnes(stage: Stage): Promise<void> {
  await using driver = stage.drive();
  const subject = stage.subject('large');
  const bytes = randomBytes(LIMIT + 1);
  const payloadOf = (size: number) => bytes.subarray(0, size).toString('base64');
  const { payload } = await commitOne(stage, driver, { subject, payloadBase64: payloadOf(LIMIT) });
  if (!payload.equals(bytes.subarray(0, LIMIT)))
    throw new Unmet('the payload as it was given', 'it was another');
  await driver.do({ do: 'begin' });
  const answer = await driver.ask({ do: 'enqueue', event: { subject, payloadBase64: payloadOf(LIMIT + 1) } });
  await driver.do({ do: 'rollback' });
  if (answer.kind === 'done') throw new Unmet('a payload of 1,000,001 bytes to be refused', 'it was taken');
  await expectPublished(stage, []);
}
