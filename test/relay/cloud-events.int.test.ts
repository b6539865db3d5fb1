import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { type CloudEvent, cloudEventOf, consume } from '../../src/consumer/index.ts';
import { enqueue } from '../../src/index.ts';
import { openBus } from '../../src/messaging/index.ts';
import { openStage, type Stage } from '../guarantees/stage.ts';
import { askLeader, readLetters, untilLetters } from '../support/dead-letters.ts';
import { askForReplay, openReplayStage, PREFIX, planCopies, untilFinished } from '../support/replays.ts';

const ON = { cloudEvents: 'binary', source: 'https://example.com/shop' } as const;
const ORDERINGS = ['stream', 'key', 'none'] as const;

/** Of each message the lines of its header block, as the server keeps them, that are a CloudEvent's. */
async function ceLines(stage: Stage): Promise<string[][]> {
  const last = await stage.lastSequence();
  const found: string[][] = [];
  for (let seq = 1; seq <= last; seq++) {
    const answer = await stage.connection.request(
      `$JS.API.STREAM.MSG.GET.${stage.stream}`,
      JSON.stringify({ seq }),
    );
    const { message } = answer.json<{ message: { hdrs: string } }>();
    const block = Buffer.from(message.hdrs, 'base64').toString();
    found.push(block.split('\r\n').filter((line) => /^ce-/i.test(line)));
  }
  return found;
}

async function untilStored(stage: Stage, count: number): Promise<void> {
  await expect.poll(stage.lastSequence, { timeout: 20_000 }).toBe(count);
}

async function eventsOf({ pool }: Stage): Promise<{ id: string; time: Date }[]> {
  const { rows } = await pool.query(
    'select event_id as id, created_at as time from postcommit.outbox order by position',
  );
  return rows;
}

/** By SQL and by enqueue(): with everything, with nothing, and with words of the writer's own. */
async function write(stage: Stage): Promise<void> {
  await stage.pool.query(
    `select postcommit.enqueue($1, '{"name": "Ada"}', key => 'p 1', type => 'registered "now"')`,
    [stage.subject],
  );
  const client = new pg.Client({ connectionString: stage.databaseUrl });
  await client.connect();
  await client.query('BEGIN');
  await enqueue(client, [
    { subject: stage.subject, payload: new TextEncoder().encode('text') },
    {
      subject: stage.subject,
      key: 'Zürich 😀',
      type: 't',
      payload: { a: 1 },
      headers: { 'CE-Id': 'own', 'ce-tenant': '7', 'Content-Type': 'application/vnd.shop+json' },
    },
  ]);
  await client.query('COMMIT');
  await client.end();
}

test.each(ORDERINGS)('in %s ordering a consumer gets exactly these headers', async (ordering) => {
  await using stage = await openStage();
  await using _relay = await stage.startRelay({ ...ON, lane: { ordering } });
  await write(stage);
  await untilStored(stage, 3);
  const [first, second, third] = await eventsOf(stage);
  const wanted = [
    [
      'ce-specversion: 1.0',
      `ce-id: ${first?.id}`,
      'ce-source: https://example.com/shop',
      'ce-type: registered%20%22now%22',
      `ce-time: ${first?.time.toISOString()}`,
      'ce-subject: p%201',
      'ce-datacontenttype: application/json',
    ],
    [
      'ce-specversion: 1.0',
      `ce-id: ${second?.id}`,
      'ce-source: https://example.com/shop',
      `ce-type: ${stage.subject}`,
      `ce-time: ${second?.time.toISOString()}`,
    ],
    [
      'ce-specversion: 1.0',
      'ce-source: https://example.com/shop',
      'ce-type: t',
      `ce-time: ${third?.time.toISOString()}`,
      'ce-subject: Z%C3%BCrich%20%F0%9F%98%80',
      'ce-datacontenttype: application/vnd.shop+json',
      'CE-Id: own',
      'ce-tenant: 7',
    ],
  ];
  const sorted = (lines: readonly string[][]) => lines.map((one) => [...one].sort());
  // In the orderings of keys those of different keys may change places.
  const byId = (lines: readonly string[][]) => sorted(lines).sort((a, b) => a.join().localeCompare(b.join()));
  expect(byId(await ceLines(stage))).toEqual(byId(wanted));
});

test('consume() and readStream() read them back, and the events are as they were written', async () => {
  await using stage = await openStage();
  await using _relay = await stage.startRelay(ON);
  await write(stage);
  const [first] = await eventsOf(stage);
  const wanted = {
    specversion: '1.0',
    id: first?.id,
    source: 'https://example.com/shop',
    type: 'registered "now"',
    time: first?.time.toISOString(),
    subject: 'p 1',
    datacontenttype: 'application/json',
    dataschema: null,
    extensions: {},
  };
  const consumed: { id: string; type: string | null; event: CloudEvent | null }[] = [];
  const options = { nats: stage.natsUrl, stream: stage.stream, durable: 'reader', db: stage.pool };
  const consumer = await consume(options, async (event) => {
    consumed.push({ id: event.id, type: event.type, event: cloudEventOf(event) });
  });
  onTestFinished(() => consumer.stop());
  await expect.poll(() => consumed.length, { timeout: 20_000 }).toBe(3);
  expect(consumed[0]).toEqual({ id: first?.id, type: 'registered "now"', event: wanted });
  expect(consumed[1]).toMatchObject({ type: null, event: { type: stage.subject, datacontenttype: null } });
  expect(consumed[2]?.event).toMatchObject({ id: 'own', subject: 'Zürich 😀', extensions: { tenant: '7' } });
  await consumer.stop();

  const bus = await openBus({ nats: stage.natsUrl });
  onTestFinished(() => bus.close());
  const read: (CloudEvent | null)[] = [];
  for await (const event of bus.readStream({ stream: stage.stream })) read.push(cloudEventOf(event));
  expect(read).toEqual(consumed.map(({ event }) => event));
});

test('without a source of its own it is the name of the database', async () => {
  await using stage = await openStage();
  await using _relay = await stage.startRelay({ cloudEvents: 'binary' });
  await stage.write(1);
  await untilStored(stage, 1);
  const [message] = await stage.messages();
  expect((await ceLines(stage))[0]).toContain(`ce-source: ${message?.source}`);
});

test.each(ORDERINGS)(
  'copies have them too, with the type of the event; in %s ordering also those that a leader of before left unsent',
  async (ordering) => {
    await using stage = await openReplayStage();
    const lane = { ...stage.lane, ordering };
    {
      await using relay = await stage.startRelay({ ...ON, lane });
      await write(stage);
      await untilStored(stage, 3);
      const id = await askForReplay(stage.pool, { fromPosition: 2, toPosition: 2, subjectPrefix: PREFIX });
      await untilFinished(stage.pool, id);
      await untilStored(stage, 4);
      await relay.relay.stop();
    }
    await planCopies(stage.pool, { stream: stage.stream, positions: [2], prefix: PREFIX });
    await using _successor = await stage.startRelay({ ...ON, lane });
    await untilStored(stage, 5);
    const [, event] = await eventsOf(stage);
    const lines = await ceLines(stage);
    const original = lines.find((one) => one.includes(`ce-id: ${event?.id}`));
    expect(original).toContain(`ce-type: ${stage.subject}`);
    expect(lines.slice(3)).toEqual([original, original]);
    expect((await stage.messages()).slice(3).map(({ subject }) => subject)).toEqual([
      `${PREFIX}.${stage.subject}`,
      `${PREFIX}.${stage.subject}`,
    ]);
  },
);

test.each(ORDERINGS)(
  'in %s ordering an event that they make too large is a dead letter before it is planned; retried, it has them',
  async (ordering) => {
    await using stage = await openStage({ config: { max_msg_size: 4_000 } });
    await using _relay = await stage.startRelay({ ...ON, lane: { ordering } });
    const key = '€'.repeat(170);
    // 2,000 bytes, 1,024 for the relay's own headers, 510 for the key; the key as an attribute takes 1,530 more.
    const insert = `insert into postcommit.outbox (subject, key, payload) values ($1, $2, convert_to(repeat('x', 2000), 'UTF8'))`;
    await stage.pool.query(insert, [stage.subject, key]);
    await stage.write(2);
    await untilLetters(stage.pool, [[1, 'parked']]);
    await untilStored(stage, 2);
    expect((await readLetters(stage.pool))[0]?.reason).toContain('max_msg_size');
    expect((await stage.log()).flatMap(({ positions }) => positions)).toEqual([2, 3]);

    await stage.jsm.streams.update(stage.stream, { max_msg_size: -1 });
    await askLeader(stage.pool, 'retry');
    await untilStored(stage, 3);
    expect((await ceLines(stage))[2]).toContain(`ce-subject: ${'%E2%82%AC'.repeat(170)}`);
  },
);

test('an event with headers near the limit of the outbox is stored with them', async () => {
  await using stage = await openStage();
  await using _relay = await stage.startRelay(ON);
  const headers = JSON.stringify({ large: 'x'.repeat(59_900) });
  await stage.pool.query(`select postcommit.enqueue($1, '{}', headers => $2)`, [stage.subject, headers]);
  await untilStored(stage, 1);
  expect((await ceLines(stage))[0]).toHaveLength(6);
});

test('a marker has none of them', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay(ON);
  await relay.until('publishing');
  await stage.write(1);
  await untilStored(stage, 1);
  await stage.jsm.streams.update(stage.stream, { max_msg_size: 10_000 }); // The relay does not know yet.
  await stage.write(1, { payload: 'x'.repeat(20_000) });
  await untilLetters(stage.pool, [[2, 'parked']]);
  await untilStored(stage, 2);
  expect((await stage.messages())[1]?.skipped).not.toBe('');
  expect((await ceLines(stage)).map((lines) => lines.length)).toEqual([5, 0]);
});

test.each(ORDERINGS)(
  'in %s ordering what was planned without them and does not fit with them is a dead letter, and those behind it go on',
  async (ordering) => {
    await using stage = await openStage({ config: { max_msg_size: 4_000 } });
    const lane = { ordering };
    {
      await using relay = await stage.startRelay({ source: ON.source, lane });
      await stage.write(1);
      await untilStored(stage, 1);
      await relay.relay.stop();
    }
    await stage.write(1, { key: '€'.repeat(170), payload: 'x'.repeat(2_000) });
    // As a leader that dies after it has planned it.
    await stage.pool.query(
      `insert into postcommit.batches (stream, incarnation, batch, epoch, ordering, kind, first_sequence, last_sequence,
         settled_to, settled_batch, positions, read_to, open_from)
       select stream, incarnation, batch + 1, epoch, ordering, 'new', 2, 2, settled_to, settled_batch, '{[2,3)}', 2, 3
         from postcommit.batches where stream = $1 order by batch desc limit 1`,
      [stage.stream],
    );
    await using _successor = await stage.startRelay({ ...ON, lane });
    await stage.write(1);
    await untilLetters(stage.pool, [[2, 'parked']]);
    const isStored = async () => (await stage.messages()).some(({ position }) => position === 3);
    await expect.poll(isStored, { timeout: 20_000 }).toBe(true);
    const markers = (await stage.messages()).filter(({ skipped }) => skipped !== '');
    expect(markers.map(({ sequence }) => sequence)).toEqual(ordering === 'stream' ? [2] : []);
  },
);

test('with the option off, which is the default, no message has any', async () => {
  await using stage = await openStage();
  await using _relay = await stage.startRelay();
  await stage.write(1);
  await untilStored(stage, 1);
  expect(await ceLines(stage)).toEqual([[]]);
});
