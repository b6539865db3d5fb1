import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { type Consumer, consume, on, type RouteOptions, readAs, route } from '../../src/consumer/index.ts';
import { defineEvent, enqueue, InvalidPayload } from '../../src/index.ts';
import { createScene, type Scene } from '../consumer/scene.ts';
import { createMigratedDatabase } from '../support/services.ts';

const registered = defineEvent({
  type: 'patient.registered',
  subject: 'ng.patient.{id}',
  key: 'id',
  schema: z.object({ id: z.string(), name: z.string() }),
});
const registeredSince = defineEvent({
  type: 'patient.registered',
  version: 2,
  subject: 'ng.patient.{id}',
  key: 'id',
  schema: z.object({ id: z.string(), names: z.array(z.string()) }),
});

async function client(): Promise<pg.Client> {
  const database = await createMigratedDatabase();
  const connected = new pg.Client({ connectionString: database.url });
  await connected.connect();
  onTestFinished(async () => {
    await connected.end();
    await database.drop();
  });
  return connected;
}

test('a wrong payload is refused in the transaction, and takes none of its events with it into the outbox', async () => {
  const tx = await client();
  await tx.query('begin');
  const events = [registered({ id: '1', name: 'Ada' }), registered({ id: '2' } as never)];
  await expect(enqueue(tx, events)).rejects.toBeInstanceOf(InvalidPayload);
  // Nothing was sent: the transaction is as good as before.
  await enqueue(tx, [
    registered({ id: '3', name: 'Cleo' }),
    { subject: 'plain.event', payload: { plain: true } },
  ]);
  await tx.query('commit');
  const { rows } = await tx.query(
    `select subject, key, type, headers, convert_from(payload, 'UTF8')::json as payload from postcommit.outbox order by position`,
  );
  expect(rows).toEqual([
    {
      subject: 'ng.patient.3',
      key: '3',
      type: 'patient.registered',
      headers: { 'Event-Version': '1' },
      payload: { id: '3', name: 'Cleo' },
    },
    { subject: 'plain.event', key: null, type: null, headers: {}, payload: { plain: true } },
  ]);
});

test('one that nobody awaits is refused when the COMMIT goes first', async () => {
  const tx = await client();
  await tx.query('begin');
  const late = enqueue(tx, registered({ id: '1', name: 'Ada' }));
  const committed = tx.query('commit');
  await expect(late).rejects.toMatchObject({ code: 'outside-transaction' });
  await committed;
  expect((await tx.query('select from postcommit.outbox')).rowCount).toBe(0);
});

async function scene(): Promise<Scene> {
  const created = await createScene();
  onTestFinished(() => created[Symbol.asyncDispose]());
  return created;
}

const OF_TYPE = { 'Postcommit-Type': 'patient.registered' };

async function start(
  here: Scene,
  handled: unknown[],
  options: RouteOptions<pg.PoolClient> = {},
): Promise<Consumer> {
  const consumer = await consume(
    { ...here.options, maxAttempts: 3 },
    route(
      [
        on(registered, ({ data }) => void handled.push(['1', data])),
        on(registeredSince, ({ data }) => void handled.push(['2', data])),
      ],
      options,
    ),
  );
  onTestFinished(() => consumer.stop());
  return consumer;
}

async function letters({ pool }: Scene) {
  return (await pool.query('select event_id, reason, attempts from postcommit.dead_letters order by id'))
    .rows;
}

test('each version goes to its route, and what has none is let pass', async () => {
  const here = await scene();
  const handled: unknown[] = [];
  await here.publish({ id: '1', name: 'Ada' }, OF_TYPE);
  await here.publish({ id: '2', names: ['Ada', 'B'] }, { ...OF_TYPE, 'event-version': '2' });
  await here.publish({ id: '3' }, { ...OF_TYPE, 'Event-Version': '3' });
  await here.publish({ id: '4' }, { ...OF_TYPE, 'Event-Version': 'two' });
  await here.publish({ id: '5' }, { 'Postcommit-Type': 'patient.moved' });
  await here.publish({ id: '6' });
  await start(here, handled);
  await here.untilSettled();
  expect(handled).toEqual([
    ['1', { id: '1', name: 'Ada' }],
    ['2', { id: '2', names: ['Ada', 'B'] }],
  ]);
  expect(await letters(here)).toEqual([]);
});

test('a payload that does not match is a dead letter at once, with what is wrong and not with what stands there', async () => {
  const here = await scene();
  const handled: unknown[] = [];
  await here.publish({ id: '1', name: { first: 'geheim' } }, { ...OF_TYPE, 'Postcommit-Event-Id': 'e1' });
  await here.publish({ id: '2', name: 'Bob' }, { ...OF_TYPE, 'Postcommit-Event-Id': 'e2' });
  await start(here, handled);
  await here.untilSettled();
  expect(handled).toEqual([['1', { id: '2', name: 'Bob' }]]);
  expect(await letters(here)).toEqual([
    {
      event_id: 'e1',
      attempts: 1,
      reason:
        'the payload does not match the schema of patient.registered version 1: name: Invalid input: expected string, received object',
    },
  ]);
});

test('what has no route can be rejected, or handled otherwise', async () => {
  const rejecting = await scene();
  await rejecting.publish({ id: '1' }, { ...OF_TYPE, 'Event-Version': '3', 'Postcommit-Event-Id': 'e1' });
  await start(rejecting, [], { otherwise: 'reject' });
  await rejecting.untilSettled();
  expect(await letters(rejecting)).toEqual([
    expect.objectContaining({ event_id: 'e1', reason: expect.stringContaining('no route for it here') }),
  ]);
  const handling = await scene();
  await handling.publish({ id: '1' }, { 'Postcommit-Type': 'patient.moved' });
  const others: unknown[] = [];
  await start(handling, [], { otherwise: ({ type }) => void others.push(type) });
  await handling.untilSettled();
  expect(others).toEqual(['patient.moved']);
});

test('one event has one route', () => {
  const twice = [on(registered, () => undefined), on(registered, () => undefined)];
  expect(() => route(twice)).toThrow('patient.registered version 1 has two routes');
});

test('a handler that is not routed reads the data by itself', async () => {
  const here = await scene();
  await here.publish({ id: '1', name: 'Ada' }, OF_TYPE);
  const names: string[] = [];
  const consumer = await consume(here.options, async (event) => {
    names.push((await readAs(registered, event)).data.name);
  });
  onTestFinished(() => consumer.stop());
  await here.untilSettled();
  expect(names).toEqual(['Ada']);
});
