import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import type { ReadBack } from '../../src/jetstream/index.ts';
import { openSession } from '../../src/postgres/session.ts';
import { disown, traceTimeline } from '../../src/relay/chain/timeline.ts';
import { query } from '../support/query.ts';
import { createMigratedDatabase } from '../support/services.ts';

const source = 'shop@1';

test('a message is an event of this database only if position and event id agree', async () => {
  await using outbox = await openOutbox(20);
  const [first, second, third] = outbox.ids;
  const { strays, ours, highestPosition } = await outbox.trace([
    message(1, 1, first),
    message(2, 2, randomUUID()),
    { ...message(3, 3, null), skipped: third ?? null },
    { ...message(4, 3, null), skipped: randomUUID() },
    message(5, 900, randomUUID()),
    { ...message(6, 2, second), source: 'another@2' },
    { ...message(7, 2, second), position: null },
    { kind: 'gone', sequence: 8 },
  ]);
  expect(ours).toEqual(
    new Map([
      [1, 1],
      [3, 3],
    ]),
  );
  expect([...strays].sort()).toEqual([2, 4, 5]);
  expect(highestPosition).toBe(900);
});

test('a message under another subject than its event`s is a copy, which is ours and does not stand for the event', async () => {
  await using outbox = await openOutbox(3);
  const [first, second, third] = outbox.ids;
  const { strays, ours, copies } = await outbox.trace([
    message(1, 1, first),
    { ...message(2, 2, second), subject: 'again.subject' },
    { ...message(3, 3, null), skipped: third ?? null, subject: 'events._postcommit' },
    { ...message(4, 1, randomUUID()), subject: 'again.subject' },
  ]);
  expect([...ours.keys()]).toEqual([1, 2, 3]);
  expect([...copies]).toEqual([2]);
  expect([...strays]).toEqual([4]);
});

test('what lies below everything retained is ours, and so is what a dead letter keeps', async () => {
  await using outbox = await openOutbox(10);
  await outbox.run('truncate postcommit.outbox_0', "select setval('postcommit.segment', 1)");
  const dead = randomUUID();
  await outbox.run(
    `insert into postcommit.batches (stream, incarnation, batch, epoch, ordering, kind, first_sequence, last_sequence,
       positions, read_to, open_from) values ('s', 'i', 1, 1, 'stream', 'new', 1, 10, '{[1,11)}', 10, 11)`,
    `insert into postcommit.dead_letters (stream, position, event_id, subject, reason)
       values ('s', 11, '${dead}', 'subject', 'reason')`,
  );
  const messages = [message(10, 10, randomUUID()), message(11, 11, dead), message(12, 12, randomUUID())];
  const emptied = await outbox.trace(messages);
  expect([...emptied.strays]).toEqual([12]);
  await outbox.insert(5); // Positions from 11 on.
  expect([...(await outbox.trace(messages)).strays]).toEqual([12]);
});

test('many messages are traced in one go, and strays lose the name that is not theirs', async () => {
  await using outbox = await openOutbox(12_000);
  const messages = outbox.ids.map((id, i) => message(i + 1, i + 1, i % 3 === 0 ? randomUUID() : id));
  const timeline = await outbox.trace(messages);
  expect(timeline.strays.size).toBe(4_000);
  expect(timeline.ours.size).toBe(8_000);
  const sources = disown(messages, timeline).map((read) => (read.kind === 'message' ? read.source : 'gone'));
  expect(sources.slice(0, 4)).toEqual([null, source, source, null]);
});

function message(sequence: number, position: number, eventId: string | null | undefined) {
  return {
    kind: 'message' as const,
    sequence,
    source,
    position: position as number | null,
    eventId: eventId ?? null,
    skipped: null as string | null,
    subject: 'subject',
  };
}

async function openOutbox(count: number) {
  const database = await createMigratedDatabase();
  const session = await openSession({ url: database.url, name: 'test' });
  const insert = (events: number) =>
    query(
      database.url,
      `insert into postcommit.outbox (subject, payload) select 'subject', '' from generate_series(1, ${events})
         returning event_id::text`,
    );
  const ids = (await insert(count)).map(([id]) => id as string);
  return {
    ids,
    insert,
    trace: (messages: readonly ReadBack[]) => traceTimeline(session, messages, source),
    async run(...statements: string[]) {
      for (const statement of statements) await query(database.url, statement);
    },
    async [Symbol.asyncDispose]() {
      await session.close();
      await database.drop();
    },
  };
}
