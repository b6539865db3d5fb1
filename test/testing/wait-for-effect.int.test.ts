import { AssertionError } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { type ConsumeOptions, consume, type Handler, Reject } from '../../src/consumer/index.ts';
import { enqueue, type OutboxEvent } from '../../src/index.ts';
import { aborted } from '../../src/lifecycle/abort.ts';
import {
  createFakeClock,
  type EffectOptions,
  type FaultyScratch,
  startTestServices,
  type TestServices,
  until,
  waitForEffect,
} from '../../src/testing/index.ts';
import { runCli } from '../support/cli.ts';

let services: TestServices;
beforeAll(async () => {
  services = await startTestServices({ databaseUrl: inject('databaseUrl') });
});
afterAll(() => services?.[Symbol.asyncDispose]());

interface Stage extends FaultyScratch {
  readonly pool: pg.Pool;
  write(event?: Partial<OutboxEvent>): Promise<string>;
  consume(handler: Handler<pg.PoolClient>, more?: Partial<ConsumeOptions<pg.Pool>>): Promise<void>;
  /** What waiting in vain says. */
  complaint(eventId: string, more?: Partial<EffectOptions>): Promise<string>;
}

async function openStage(): Promise<Stage> {
  const scratch = await services.scratch({ faults: true });
  onTestFinished(() => scratch[Symbol.asyncDispose]());
  const pool = new pg.Pool({ connectionString: scratch.databaseUrl });
  pool.on('error', () => undefined);
  onTestFinished(() => pool.end());
  return {
    ...scratch,
    pool,
    async write(event) {
      const client = await pool.connect();
      await client.query('BEGIN');
      const id = await enqueue(client, { subject: 'events.a', payload: 1, ...event });
      await client.query('COMMIT');
      client.release();
      return id;
    },
    async consume(handler, more) {
      const { natsUrl: nats, stream } = scratch;
      const consumer = await consume({ nats, stream, durable: 'letters', db: pool, ...more }, handler);
      onTestFinished(() => consumer.stop({ graceMs: 0 }));
      if (more?.stream === undefined) await consumer.ready;
    },
    async complaint(eventId, more) {
      const waiting = waitForEffect(pool, { consumer: 'letters', eventId, timeoutMs: 300, ...more });
      const error = await waiting.then(
        () => new Error('it had its effect'),
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(AssertionError);
      return (error as AssertionError).message;
    },
  };
}

const nothing = () => undefined;

test('resolves once the effect is committed, by a pool, a client, a Drizzle database, and whatever else can query', async () => {
  const stage = await openStage();
  let finish: () => void = nothing;
  const held = new Promise<void>((resolve) => {
    finish = resolve;
  });
  await stage.consume(() => held);
  const eventId = await stage.write();
  let over = false;
  const effect = { consumer: 'letters', eventId };
  const waiting = waitForEffect(stage.pool, effect).then(() => {
    over = true;
  });
  await new Promise((later) => setTimeout(later, 100));
  expect(over).toBe(false);
  finish();
  await waiting;
  const client = await stage.pool.connect();
  await waitForEffect(client, effect);
  client.release();
  await waitForEffect(drizzle(stage.pool), effect);
  await waitForEffect({ query: (text, values) => stage.pool.query(text, values) }, effect);
  await expect(waitForEffect({ $queryRawUnsafe: nothing } as never, effect)).rejects.toMatchObject({
    code: 'config-invalid',
  });
});

test('not in the outbox: not committed, or another database', async () => {
  const stage = await openStage();
  const database = new URL(stage.databaseUrl).pathname.slice(1);
  const client = await stage.pool.connect();
  onTestFinished(() => client.release());
  await client.query('BEGIN');
  const eventId = await enqueue(client, { subject: 'events.a', payload: 1 });
  expect(await stage.complaint(eventId)).toBe(
    `the event ${eventId} was to have its effect by the consumer "letters", and had none within 300 ms. ` +
      `The outbox of the database "${database}" holds no event at all: the transaction has not committed, was rolled back, or wrote to another database.\n` +
      "Await its commit before you wait for the effect. Where the consumer's database is not the one that wrote the event, hand that in as `outbox`.",
  );
  await client.query('ROLLBACK');
  await stage.write();
  expect(await stage.complaint(eventId)).toContain('holds 1 event, not this one');
});

test('committed, and no relay leads', async () => {
  const stage = await openStage();
  await stage.relay?.stop();
  const eventId = await stage.write();
  const complaint = await stage.complaint(eventId);
  expect(complaint).toContain(
    'It is committed (position 1, subject events.a), and no relay has planned it. No relay leads',
  );
});

test('committed, and a relay leads that does not plan', async () => {
  const stage = await openStage();
  await stage.relay?.stop();
  // As one that hangs has it.
  await stage.pool.query(
    "UPDATE postcommit.lease SET holder = 'host:1', expires_at = now() + interval '1 minute'",
  );
  const complaint = await stage.complaint(await stage.write());
  expect(complaint).toContain('no relay has planned it. The relay host:1 leads.\nLook at its status()');
});

test('planned among others: its own place, by the log', async () => {
  const stage = await openStage();
  const client = await stage.pool.connect();
  onTestFinished(() => client.release());
  const event = { subject: 'events.a', payload: 1 };
  await client.query('BEGIN');
  await enqueue(client, event);
  await client.query('SAVEPOINT one');
  await enqueue(client, event);
  await client.query('ROLLBACK TO one');
  const ids = await enqueue(client, [event, event, event]);
  await client.query('COMMIT');
  expect(await stage.complaint(ids[1] ?? '')).toContain('planned for the stream postcommit at sequence 3,');
});

test('planned, and NATS is away', async () => {
  const stage = await openStage();
  stage.toNats.refuse();
  stage.toNats.cut();
  const complaint = await stage.complaint(await stage.write());
  expect(complaint).toMatch(/It is planned for the stream postcommit at sequence 1.*\n.*Is NATS up\?/);
});

test('planned, and no such consumer: its name beside those that are known', async () => {
  const stage = await openStage();
  const eventId = await stage.write();
  const unknown = await stage.complaint(eventId);
  expect(unknown).toMatch(
    /It is planned for the stream postcommit at sequence 1, and the consumer "letters" has not recorded it\. No instance that keeps an order has ever worked under this name\.\nIs it started/,
  );
  await stage.consume(nothing);
  await waitForEffect(stage.pool, { consumer: 'letters', eventId });
  expect(await stage.complaint(eventId, { consumer: 'leters' })).toContain('This inbox knows: letters.');
});

test('planned, and the consumer is stopped, on another stream, or still at it', async () => {
  const stage = await openStage();
  await stage.consume(nothing, { stream: 'elsewhere', durable: 'lost' });
  const eventId = await stage.write();
  // It stands for its stream, which does not exist.
  await until(async () =>
    (await stage.complaint(eventId, { consumer: 'lost', timeoutMs: 1 })).includes(
      'It works on the stream elsewhere.',
    ),
  );
  let begun = false;
  await stage.consume((_, { signal }) => {
    begun = true;
    return aborted(signal);
  });
  await until(() => begun);
  expect(await stage.complaint(eventId)).toContain('An instance of it works now.');
  await stage.pool.query(
    "UPDATE postcommit.consumer_leases SET holder = NULL, expires_at = NULL WHERE consumer = 'postcommit/letters'",
  );
  expect(await stage.complaint(eventId, { timeoutMs: 1 })).toContain('No instance of it works now.');
});

test('planned, and the consumer has passed it: its subject is filtered out', async () => {
  const stage = await openStage();
  await stage.consume(nothing, { subjects: ['events.b'] });
  const eventId = await stage.write();
  const later = await stage.write({ subject: 'events.b' });
  await waitForEffect(stage.pool, { consumer: 'letters', eventId: later });
  const complaint = await stage.complaint(eventId);
  expect(complaint).toMatch(
    /has not recorded it\. It has recorded sequence 2\.\nDoes its durable take the subject events\.a/,
  );
});

test('the handler fails: how often, and with what the last time', async () => {
  const stage = await openStage();
  const clock = createFakeClock();
  let attempts = 0;
  await stage.consume(
    () => {
      throw new Error(`the ward is full (${++attempts})`);
    },
    { clock },
  );
  const eventId = await stage.write();
  await until(() => clock.waiting.length === 1);
  expect(await stage.complaint(eventId)).toContain(
    'The handler has failed once, the last time with: the ward is full (1)\nIt is tried again',
  );
  await clock.advanceToNext();
  await until(() => clock.waiting.length === 1);
  expect(await stage.complaint(eventId)).toContain(
    'failed 2 times, the last time with: the ward is full (2)',
  );
});

test('a dead letter of the consumer is said at once, and not when it was retried to success', async () => {
  const stage = await openStage();
  let ward = 'missing';
  await stage.consume(() => {
    if (ward === 'missing') throw new Reject('no such ward');
  });
  const eventId = await stage.write();
  const startedAtMs = performance.now();
  expect(await stage.complaint(eventId, { timeoutMs: 30_000 })).toContain(
    'cannot have one any more. The consumer has given it up after an attempt, as a dead letter (parked): no such ward\n',
  );
  expect(performance.now() - startedAtMs).toBeLessThan(10_000);
  ward = 'there';
  const env = { DATABASE_URL: stage.databaseUrl, NATS_URL: stage.natsUrl };
  expect(await runCli(['dead-letters', 'retry', '--consumer', 'letters'], env)).toMatchObject({ code: 0 });
  await waitForEffect(stage.pool, { consumer: 'letters', eventId });
});

test('a dead letter of the relay is said at once: no lane takes its subject', async () => {
  const stage = await openStage();
  const eventId = await stage.write({ subject: 'elsewhere.a' });
  const complaint = await stage.complaint(eventId, { timeoutMs: 30_000 });
  expect(complaint).toMatch(
    /cannot have one any more\. The relay has set it aside as a dead letter \(misrouted, parked\): .*elsewhere\.a/,
  );
  expect(complaint).toContain('give the relay a lane whose subjects match it');
});

test('the event of another database is found in the outbox that is named', async () => {
  const [stage, other] = [await openStage(), await openStage()];
  await other.relay?.stop();
  const eventId = await other.write();
  expect(await stage.complaint(eventId)).toContain('hand that in as `outbox`');
  expect(await stage.complaint(eventId, { outbox: other.pool })).toContain(
    'No relay leads on this database now',
  );
});

test('a database that is away is waited for, and said in the end', async () => {
  const stage = await openStage();
  await stage.consume(nothing);
  const eventId = await stage.write();
  await waitForEffect(stage.pool, { consumer: 'letters', eventId });
  stage.toPostgres.refuse();
  stage.toPostgres.cut();
  expect(await stage.complaint(randomUUID())).toMatch(
    /had none within 300 ms\. Where it is could not be found out; the last look failed: .+/,
  );
  const waiting = waitForEffect(stage.pool, { consumer: 'letters', eventId });
  await new Promise((later) => setTimeout(later, 100));
  await stage.toPostgres.accept();
  await waiting;
});
