import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { hostileText } from '../generated/hostile-text.ts';
import { howMany, seedFor } from '../generated/seed.ts';
import { startCli } from '../support/cli.ts';
import { type ConsoleScene, openConsoleScene, UNLOCKED } from './scene.ts';

let here: ConsoleScene;
beforeAll(async () => {
  here = await openConsoleScene();
});
afterAll(() => here?.[Symbol.asyncDispose]());

const SECRET = 'Ada Lovelace, 1815';

async function letterOf(position: number): Promise<Record<string, unknown>> {
  const find = async () => {
    const { body } = await here.get('/api/dead-letters?all=1');
    return body.letters.find((letter: { position: number }) => letter.position === position);
  };
  await expect.poll(find, { timeout: 15_000 }).toBeDefined();
  return find();
}

async function requestRows(): Promise<{ kind: string; detail: Record<string, unknown>; by: string }[]> {
  const { rows } = await here.pool.query(
    'select kind, detail, requested_by as by from postcommit.requests order by id',
  );
  return rows;
}

test('an event is followed from its insert to its effect', async () => {
  const position = await here.write('registered', { key: 'patient-1', payload: { name: SECRET } });
  const stored = async () => (await here.get(`/api/event?position=${position}`)).body.stored?.length;
  await expect.poll(stored, { timeout: 10_000 }).toBe(1);
  const { body } = await here.get(`/api/event?position=${position}`);
  expect(body.row).toMatchObject({ position, subject: `${here.stream}.registered`, key: 'patient-1' });
  expect(body.planned).toMatchObject([
    { stream: here.stream, kind: 'new', sequence: body.stored[0].sequence },
  ]);
  expect(body.stored[0].atMs).toBeGreaterThan(body.row.createdAtMs - 1_000);
  // It is none of the durable's subjects.
  expect(body.consumers).toEqual([]);
  here.ward.closed = false;
  const moved = await here.write('ward.moved', { key: 'patient-1' });
  const done = async () => (await here.get(`/api/event?position=${moved}`)).body.consumers;
  await expect
    .poll(done, { timeout: 10_000 })
    .toMatchObject([{ durable: 'wards', state: 'done', recordedAtMs: expect.any(Number) }]);
  here.ward.closed = true;
});

test('events are listed newest first, by subject, key and id, and in pages', async () => {
  const positions: number[] = [];
  for (let i = 0; i < 60; i++) positions.push(await here.write(`page.${i % 2}`, { key: `k${i % 3}` }));
  const list = async (query: string) => (await here.get(`/api/events?${query}`)).body;
  const odd = await list(`subject=${here.stream}.page.1`);
  expect(odd.events.map(({ position }: { position: number }) => position)).toEqual(
    positions.filter((_, i) => i % 2 === 1).reverse(),
  );
  const first = await list(`subject=${here.stream}.page.*`);
  expect(first.events).toHaveLength(50);
  const second = await list(`subject=${here.stream}.page.*&before=${first.lookedTo}`);
  expect(second.events.map(({ position }: { position: number }) => position)).toEqual(
    positions.slice(0, 10).reverse(),
  );
  expect(second.lookedTo).toBeNull();
  expect((await list(`key=k2&subject=${here.stream}.page.%3E`)).events).toHaveLength(20);
  const [newest] = first.events;
  expect((await list(`id=${newest.eventId}`)).events).toMatchObject([{ position: newest.position }]);
  await expect
    .poll(async () => (await list(`id=${newest.eventId}`)).events[0].state, { timeout: 10_000 })
    .toBe('stored');
});

test('live: both servers, who leads, lanes, consumers, the ring and what happened in the last seconds', async () => {
  await here.write('live');
  const live = async () => (await here.get('/api/live')).body;
  const total = async () =>
    (await live()).seconds.reduce((sum: number, { events }: { events: number }) => sum + events, 0);
  await expect.poll(total, { timeout: 10_000 }).toBeGreaterThan(0);
  const { system, lanes, backlog, relay, access, samples } = await live();
  expect(system.database.value).toMatchObject({
    leadership: { leader: expect.stringContaining(':'), standbys: [] },
    ring: { value: { length: 8 } },
    inboxes: ['wards'],
    seats: [{ consumer: `${here.stream}/wards`, expired: false }],
  });
  expect(
    system.database.value.ring.value.filter(({ current }: { current: boolean }) => current),
  ).toHaveLength(1);
  expect(system.broker.value.streams).toMatchObject([
    { name: here.stream, durables: { value: [{ name: 'wards', durable: true }] } },
  ]);
  expect(lanes).toMatchObject([{ stream: here.stream, ordering: 'stream', gapsOpen: false }]);
  expect(backlog).toMatchObject({ exact: true });
  expect(relay).toMatchObject({ role: 'leader', lanes: [{ stream: here.stream, state: 'publishing' }] });
  expect(access).toEqual({ token: true, unlocked: false });
  expect((await here.get('/api/live', UNLOCKED)).body.access.unlocked).toBe(true);
  expect(samples.length).toBeGreaterThan(0);
});

test('nothing is changed and no payload shown without the token, however it is tried', async () => {
  const position = await here.write('secret', { payload: { name: SECRET, more: 'x'.repeat(12_000) } });
  const { id } = await letterOf(position);
  const before = await requestRows();
  for (const headers of [{}, { authorization: 'Bearer nearly-the-token' }, { cookie: 'token=x' }]) {
    expect(await here.post('/api/dead-letters', { action: 'discard', ids: [id] }, headers)).toMatchObject({
      status: 401,
    });
    expect(await here.get(`/api/payload?position=${position}`, headers)).toMatchObject({ status: 401 });
    expect(await here.get(`/api/payload?letter=${id}`, headers)).toMatchObject({ status: 401 });
  }
  // A form of another site can send neither this content type nor the token.
  const form = await fetch(`${here.url}/api/dead-letters`, {
    method: 'POST',
    body: new URLSearchParams({ action: 'discard', ids: String(id) }),
    headers: UNLOCKED,
  });
  expect(form.status).toBe(415);
  expect(await requestRows()).toEqual(before);
  expect(await letterOf(position)).toMatchObject({ state: 'parked' });
  const everything = await Promise.all(
    ['/api/live', '/api/events', '/api/dead-letters?all=1', `/api/event?position=${position}`].map((path) =>
      here.get(path).then(({ body }) => JSON.stringify(body)),
    ),
  );
  expect(everything.join()).not.toContain(SECRET);
  expect((await here.get(`/api/payload?letter=${id}`, UNLOCKED)).body).toMatchObject({
    form: 'text',
    content: expect.stringContaining(SECRET),
  });
});

test("a relay's dead letter is discarded, and a consumer's retried to success; who asked stays", async () => {
  const large = await here.write('large', { payload: 'x'.repeat(12_000) });
  const mine = await letterOf(large);
  const gone = await here.post('/api/dead-letters', { action: 'discard', ids: [mine.id] }, UNLOCKED);
  expect(gone).toMatchObject({ status: 200, body: { result: { discarded: 1 } } });
  expect(await letterOf(large)).toMatchObject({ state: 'discarded' });

  const failing = await here.write('ward.failing');
  const theirs = await letterOf(failing);
  expect(theirs).toMatchObject({ consumer: 'wards', outcome: 'failed', reason: 'the ward is closed' });
  here.ward.closed = false;
  const again = await here.post('/api/dead-letters', { action: 'retry', consumer: 'wards' }, UNLOCKED);
  expect(again).toMatchObject({ status: 200, body: { result: { retrying: 1 } } });
  await expect.poll(async () => (await letterOf(failing)).state, { timeout: 10_000 }).toBe('resolved');
  here.ward.closed = true;
  expect((await requestRows()).slice(-2)).toMatchObject([
    {
      kind: 'discard',
      detail: { ids: [mine.id], via: expect.stringMatching(/^console, from 127\.0\.0\.1$/) },
    },
    { kind: 'retry', detail: { consumer: 'wards', via: expect.stringContaining('console') } },
  ]);
});

test.each([
  ['', 'action'],
  ['not json', 'expected object'],
  [{ action: 'retry' }, 'say which'],
  [{ action: 'delete', all: true }, 'action'],
  [{ action: 'retry', ids: [] }, 'ids'],
  [{ action: 'retry', ids: [1.5] }, 'ids'],
  [{ action: 'retry', all: true, more: 1 }, 'more'],
])('a decision that makes no sense is refused, and says why: %j', async (body, word) => {
  const before = await requestRows();
  const { status, body: answer } = await here.post('/api/dead-letters', body, UNLOCKED);
  expect([status, String(answer.error).toLowerCase()]).toEqual([
    400,
    expect.stringContaining(body === '' ? 'expected object' : word),
  ]);
  expect(await requestRows()).toEqual(before);
});

const value = fc.oneof(
  hostileText.map((text) => text.toWellFormed()),
  fc.constantFrom('1', '-1', '0', '9007199254740993', 'NaN', '1e400', '>', '*', 'a..b', "';--", '%00'),
);

test('whatever is asked, there is an answer, and the relay lives', async () => {
  const paths = [
    '/api/live',
    '/api/events',
    '/api/event',
    '/api/dead-letters',
    '/api/payload',
    '/',
    '/console/main.js',
  ];
  const names = [
    'since',
    'before',
    'subject',
    'key',
    'type',
    'id',
    'position',
    'letter',
    'stream',
    'outcome',
    'all',
  ];
  const asked = fc.record({
    path: fc.constantFrom(...paths),
    query: fc.array(fc.tuple(fc.constantFrom(...names), value), { maxLength: 4 }),
  });
  const all = fc.sample(asked, { seed: seedFor('console queries'), numRuns: howMany(300) });
  for (const { path, query } of all) {
    const response = await fetch(`${here.url}${path}?${new URLSearchParams(query)}`, { headers: UNLOCKED });
    const body = await response.text();
    const about = `${path} ${JSON.stringify(query)}: ${body.slice(0, 300)}`;
    expect([200, 400, 404], about).toContain(response.status);
    expect(body, about).not.toMatch(/^\s+at |node_modules/m);
  }
  expect((await fetch(`${here.url}/livez`)).status).toBe(200);
});

test('in a process of its own it shows the same, of no relay of its own, and ends in order', async () => {
  await using alone = startCli(['console'], here.env);
  const { http } = await alone.line('ready');
  const page = await fetch(`${http}/`);
  expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
  const live = await (await fetch(`${http}/api/live`)).json();
  expect(live).toMatchObject({
    relay: null,
    access: { token: true, unlocked: false },
    system: { database: { kind: 'seen' }, broker: { kind: 'seen' } },
    lanes: [{ stream: here.stream }],
  });
  expect((await fetch(`${http}/metrics`)).status).toBe(404);
  alone.process.kill('SIGTERM');
  expect(await alone.exit).toBe(0);
});

test('switched off it is not served, and the relay is', async () => {
  await using relay = startCli(['relay'], { ...here.env, POSTCOMMIT_CONSOLE: 'off' });
  const { http } = await relay.line('ready');
  const statuses = await Promise.all(
    ['/', '/api/live', '/metrics', '/readyz'].map(async (path) => (await fetch(`${http}${path}`)).status),
  );
  expect(statuses).toEqual([404, 404, 200, 200]);
  relay.process.kill('SIGTERM');
  expect(await relay.exit).toBe(0);
});
