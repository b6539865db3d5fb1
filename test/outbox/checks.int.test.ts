import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { enqueue, type OutboxEvent } from '../../src/index.ts';
import { createMigratedDatabase, type ScratchDatabase } from '../support/services.ts';

let database: ScratchDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createMigratedDatabase();
  client = new pg.Client(database.url);
  await client.connect();
  await client.query('CREATE TABLE business (done boolean)');
});
afterAll(async () => {
  await client?.end();
  await database?.drop();
});
afterEach(async () => {
  await client.query('ROLLBACK; TRUNCATE postcommit.outbox, business');
});

interface Candidate {
  readonly subject: string;
  readonly key?: string;
  readonly type?: string;
  /** JSON */
  readonly headers?: string;
  readonly payload?: Uint8Array;
}

/** Every way into the outbox, each in the caller's transaction. */
const WAYS = {
  async insert({ subject, key = null, type = null, headers = '{}', payload = new Uint8Array() }) {
    await client.query(
      'INSERT INTO postcommit.outbox (subject, key, type, headers, payload) VALUES ($1, $2, $3, $4, $5)',
      [subject, key, type, headers, payload],
    );
  },
  async enqueue_bytes({ subject, key = null, type = null, headers = '{}', payload = new Uint8Array() }) {
    await client.query('SELECT postcommit.enqueue_bytes($1, $2, $3, $4, type => $5)', [
      subject,
      payload,
      key,
      headers,
      type,
    ]);
  },
  async 'SQL enqueue'({ subject, key = null, type = null, headers = '{}', payload = new Uint8Array() }) {
    await client.query('SELECT postcommit.enqueue($1, to_jsonb($2::text), $3, $4, type => $5)', [
      subject,
      Buffer.from(payload).toString('latin1'),
      key,
      headers,
      type,
    ]);
  },
  async 'JavaScript enqueue'({ headers = '{}', payload = new Uint8Array(), ...rest }) {
    const event = { ...rest, headers: JSON.parse(headers), payload } as OutboxEvent;
    await enqueue(client, event);
  },
} satisfies Record<string, (candidate: Candidate) => Promise<void>>;

const ways = Object.entries(WAYS) as [string, (candidate: Candidate) => Promise<void>][];

interface Refusal {
  readonly message: string;
  readonly hint?: string;
}

/** What a business transaction with this event in it ends as. */
async function attempt(
  write: (candidate: Candidate) => Promise<void>,
  candidate: Candidate,
): Promise<Refusal | undefined> {
  await client.query('BEGIN');
  await client.query('INSERT INTO business VALUES (true)');
  try {
    await write(candidate);
  } catch (error) {
    await client.query('ROLLBACK');
    return error as Refusal;
  }
  await client.query('COMMIT');
  return undefined;
}

async function counts() {
  const { rows } = await client.query(
    'SELECT (SELECT count(*) FROM postcommit.outbox)::int AS events, (SELECT count(*) FROM business)::int AS business',
  );
  return rows[0];
}

const BAD_SUBJECTS = [
  '',
  '.',
  'a.',
  '.a',
  'a..b',
  '*',
  'a.*',
  'a.>',
  '>',
  'a b',
  'a.b*c',
  '$JS.API',
  '$SYS',
  'a\tb',
  'a\r\nb',
  'a\u007f',
  'x'.repeat(256),
  `${'é'.repeat(127)}ab`,
];
const BAD_LABELS = ['', ' a', 'a ', 'a\nb', 'a\rb', '\ta', 'a\u00a0', '\u2003a', '\ufeffa', 'x'.repeat(513)];
const BAD_HEADERS = [
  '{"Nats-Rollup": "all"}',
  '{"nats-msg-id": "1"}',
  '{"NATS-Expected-Stream": "s"}',
  '{"Postcommit-Source": "me"}',
  '{"pOSTCOMMIT-x": "me"}',
  '{"": "v"}',
  '{"a b": "v"}',
  '{"a:b": "v"}',
  '{"é": "v"}',
  '{"a\\nb": "v"}',
  '{"a": "1\\r\\nNats-Rollup: all"}',
  '{"a": "line\\nbreak"}',
  '{"a": " v"}',
  '{"a": "v\\t"}',
  '{"a": "v\\u3000"}',
  '{"a": 1}',
  '{"a": null}',
  '{"a": {"b": "c"}}',
  '{"a": ["b"]}',
];
const LIMIT = 1_000_000;

describe.each(ways)('%s', (_, write) => {
  async function expectRefusal(candidate: Candidate, about: RegExp): Promise<void> {
    const refusal = await attempt(write, candidate);
    expect(refusal, JSON.stringify(candidate).slice(0, 100)).toBeDefined();
    expect(refusal?.message).toMatch(about);
    expect(refusal?.hint).toMatch(/^[A-Z].{15}/);
    expect(refusal?.message).not.toContain('violates');
    expect(await counts()).toEqual({ events: 0, business: 0 });
  }

  test('refuses a subject that cannot be published to, with the whole transaction', async () => {
    for (const subject of BAD_SUBJECTS) await expectRefusal({ subject }, /subject .*cannot be published to/s);
  });

  test('refuses a key or type that cannot become a header', async () => {
    for (const label of BAD_LABELS) {
      await expectRefusal({ subject: 'a', key: label }, /key is empty, longer than 512 bytes/);
      await expectRefusal({ subject: 'a', type: label }, /type is empty, longer than 512 bytes/);
    }
  });

  test('refuses headers that steer the server, break out of their line, or are not text', async () => {
    for (const headers of BAD_HEADERS) await expectRefusal({ subject: 'a', headers }, /header/);
  });

  test('refuses headers that are not an object', async () => {
    for (const headers of ['[]', '"text"', '1', '["a", "b"]']) {
      await expectRefusal({ subject: 'a', headers }, /headers (must be|are not) an? (JSON )?object/);
    }
  });

  test('refuses what is larger than the limit, and says how to raise it', async () => {
    await expectRefusal(
      { subject: 'a', payload: Buffer.alloc(LIMIT + 1, 'x') },
      /larger than the limit of 1000000 bytes/,
    );
    const headers = JSON.stringify({ a: 'x'.repeat(100) });
    await expectRefusal(
      { subject: 'a', headers, payload: Buffer.alloc(LIMIT - 100, 'x') },
      /larger than the limit/,
    );
  });

  test('refuses headers that JetStream cannot count, which an event became a dead letter by', async () => {
    const about = /headers of 600\d\d bytes are larger than the limit of 60000 bytes/;
    const headers = (size: number) => JSON.stringify({ a: 'x'.repeat(size) });
    await expectRefusal({ subject: 'a', headers: headers(59_993) }, about);
    expect(await attempt(write, { subject: 'a', headers: headers(59_991) })).toBeUndefined();
  });

  test('does not print the payload', async () => {
    const refusal = await attempt(write, { subject: 'a b', payload: Buffer.from('hunter2') });
    const everything = JSON.stringify(refusal, Object.getOwnPropertyNames(refusal));
    expect(everything).not.toContain('hunter2');
    expect(everything).not.toContain(Buffer.from('hunter2').toString('hex'));
  });

  test('takes what is just inside the limits', async () => {
    const candidates: Candidate[] = [
      { subject: 'x'.repeat(255) },
      { subject: 'a.b-c.d_e.é.$f' },
      { subject: 'a', key: 'x'.repeat(512), type: 'é'.repeat(256) },
      {
        subject: 'a',
        key: 'with blank inside',
        headers: '{"a": "", "B-c": "with: blank, and ünïcode 🏥", "ce-id": "1"}',
      },
      { subject: 'a', headers: '{"natsy": "v", "x-nats-y": "v"}' },
      // The SQL enqueue() writes JSON: two quotes more.
      { subject: 'a', payload: Buffer.alloc(LIMIT - 2, 'x') },
    ];
    for (const candidate of candidates) expect(await attempt(write, candidate)).toBeUndefined();
    expect(await counts()).toEqual({ events: candidates.length, business: candidates.length });
  });
});

test('NUL is refused before it reaches the database, which could not even say where', async () => {
  for (const candidate of [
    { subject: 'a\u0000b' },
    { subject: 'a', key: 'a\u0000' },
    { subject: 'a', headers: '{"a": "\\u0000"}' },
  ]) {
    expect(await attempt(WAYS['JavaScript enqueue'], candidate)).toMatchObject({ code: 'event-invalid' });
  }
});

test.each([
  ['undefined', undefined],
  ['a function', () => 1],
  ['a symbol', Symbol('s')],
  ['a bigint inside', { count: 1n }],
  ['a cycle', cycle()],
  ['an ArrayBuffer, which JSON makes {}', new ArrayBuffer(3)],
  ['a Map, which JSON makes {}', new Map([['a', 'b']])],
  ['a promise that nobody awaited, which JSON makes {}', Promise.resolve({ a: 'b' })],
  ['an Error, which JSON makes {}', new Error('a')],
  ['numbers that are no bytes', Float64Array.of(1)],
])('a payload that JSON cannot express is refused: %s', async (_, payload) => {
  await client.query('BEGIN');
  const refusal = enqueue(client, { subject: 'a', payload });
  await expect(refusal).rejects.toMatchObject({
    code: 'event-invalid',
    message: expect.stringContaining('payload'),
  });
});

test.each([
  ['a Map', new Map([['a', 'b']])],
  ["fetch's Headers", new Headers({ a: 'b' })],
  ['a Date', new Date()],
  ['an array', ['a']],
])('headers in %s are refused: they would be left out without a word', async (_, headers) => {
  await client.query('BEGIN');
  const event = { subject: 'a', payload: 1, headers: headers as unknown as Record<string, string> };
  await expect(enqueue(client, event)).rejects.toMatchObject({
    code: 'event-invalid',
    message: expect.stringContaining('headers are not an object'),
  });
});

test('a lone surrogate is refused in what becomes text, with the event named', async () => {
  await client.query('BEGIN');
  const events = [
    { subject: 'a', payload: 1 },
    { subject: 'a', payload: 1, key: '\ud800' },
  ];
  await expect(enqueue(client, events)).rejects.toMatchObject({
    message: expect.stringContaining('event 1 '),
  });
});

test('an event id that is no UUID is refused', async () => {
  await client.query('BEGIN');
  await expect(enqueue(client, { subject: 'a', payload: 1, eventId: '17' })).rejects.toMatchObject({
    code: 'event-invalid',
    message: expect.stringContaining('eventId'),
  });
});

test.each(['subject', 'payload', 'headers', 'event_id', 'created_at'])(
  'a row without %s is refused, and nothing of it is shown',
  async (missing) => {
    const row = { subject: 'a.hunter2', payload: 'hunter2', headers: '{"a": "hunter2"}', [missing]: null };
    const insert = `INSERT INTO postcommit.outbox (${Object.keys(row)}) VALUES (${Object.keys(row).map((_, i) => `$${i + 1}`)})`;
    const refusal = await client.query(insert, Object.values(row)).catch((error: unknown) => error);
    expect(refusal).toMatchObject({
      code: '23514',
      constraint: 'outbox_not_null',
      message: `postcommit: ${missing} is NULL`,
    });
    expect(JSON.stringify(refusal)).not.toContain('hunter2');
  },
);

test('a writer cannot choose a position', async () => {
  await expect(
    client.query("INSERT INTO postcommit.outbox (position, subject, payload) VALUES (1, 'a', '')"),
  ).rejects.toMatchObject({ code: '428C9' });
});

function cycle(): object {
  const one: Record<string, unknown> = {};
  one.self = one;
  return one;
}
