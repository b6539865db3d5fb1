import pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { recordNew } from '../../src/inbox/record.ts';
import {
  type ConsumerLease,
  type ConsumerLeaseTerms,
  endPredecessors,
  enterEffects,
  holdConsumerLock,
  type Run,
  releaseConsumerLease,
  renewConsumerLease,
  takeConsumerLease,
} from '../../src/lease/consumer-lease.ts';
import { recogniseTransaction } from '../../src/postgres/transaction-handle.ts';
import { createMigratedDatabase, type ScratchDatabase, scratchName } from '../support/services.ts';

let database: ScratchDatabase;
beforeAll(async () => {
  database = await createMigratedDatabase();
});
afterAll(() => database?.drop());

interface Instance {
  readonly client: pg.Client;
  readonly run: Run;
  take(more?: Partial<ConsumerLeaseTerms>): Promise<ConsumerLease | null>;
  die(): Promise<void>;
}

async function instance(consumer: string, name: string): Promise<Instance> {
  const client = new pg.Client({ connectionString: database.url });
  client.on('error', () => undefined);
  await client.connect();
  const run: Run = async (text, values) => (await client.query(text, [...values])).rows;
  const die = () => client.end();
  onTestFinished(() => die().catch(() => undefined));
  return {
    client,
    run,
    async take(more = {}) {
      const terms = { consumer, member: name, ttlMs: 60_000, timeOnly: false, ...more };
      const epoch = await takeConsumerLease(run, terms);
      return epoch === null ? null : { consumer, epoch };
    },
    die,
  };
}

async function pair(): Promise<[Instance, Instance]> {
  const consumer = scratchName('consumer');
  return [await instance(consumer, 'one'), await instance(consumer, 'two')];
}

/** Resolves when it has the lease. */
function takenBy(taker: Instance): Promise<ConsumerLease> {
  return vi.waitFor(async () => (await taker.take()) ?? Promise.reject(new Error('another has it')));
}

test('one of two has it; the other as soon as the session of the first is gone, under the next epoch', async () => {
  const [one, two] = await pair();
  const first = await takenBy(one);
  expect(await two.take()).toBeNull();
  await one.die();
  expect((await takenBy(two)).epoch).toBeGreaterThan(first.epoch);
});

test('an epoch is not given out once more where the last takeovers are lost', async () => {
  const [one, two] = await pair();
  const first = await takenBy(one);
  await one.die();
  await two.run('update postcommit.consumer_leases set epoch = 0 where consumer = $1', [first.consumer]);
  expect((await takenBy(two)).epoch).toBeGreaterThan(first.epoch);
});

test('consumers do not mind each other', async () => {
  const [one] = await pair();
  const [other] = await pair();
  expect([await one.take(), await other.take()]).not.toContain(null);
});

test('one that hangs loses it when its time is over, and cannot renew it', async () => {
  const [one, two] = await pair();
  const first = await one.take({ ttlMs: 100 });
  if (first === null) throw new Error('nobody had it');
  expect(await renewConsumerLease(one.run, first, 100)).toBe(true);
  expect(await two.take()).toBeNull();
  const second = await takenBy(two);
  expect(await renewConsumerLease(one.run, first, 100)).toBe(false);
  // It still has the lock, which says that its holder is alive: that is taken from it.
  expect(await holdConsumerLock(two.run, second)).toBe(false);
  expect(await endPredecessors(two.run, second, { timeOnly: false })).toBe(1);
  await expect.poll(() => holdConsumerLock(two.run, second)).toBe(true);
  await expect(one.run('select 1', [])).rejects.toThrow();
});

test('a released lease is free at once', async () => {
  const [one, two] = await pair();
  const first = await one.take({ timeOnly: true });
  if (first === null) throw new Error('nobody had it');
  expect(await two.take()).toBeNull();
  await releaseConsumerLease(one.run, first);
  expect((await two.take())?.epoch).toBeGreaterThan(first.epoch);
});

test('one that has no session is alive as long as its time says, however free the lock is', async () => {
  const [one, two] = await pair();
  const first = await one.take({ timeOnly: true });
  expect(await two.take()).toBeNull();
  expect(await two.take({ timeOnly: true })).toBeNull();
  await one.client.query(`update postcommit.consumer_leases set expires_at = now() - interval '1 second'`);
  expect((await two.take({ timeOnly: true }))?.epoch).toBeGreaterThan(first?.epoch ?? Number.NaN);
});

test('effects that a former instance has under way are ended; those that it begins later record nothing', async () => {
  const [one, two] = await pair();
  const first = await one.take();
  if (first === null) throw new Error('nobody had it');
  const worker = await instance(first.consumer, 'worker of one');
  await worker.client.query('begin');
  await enterEffects(recogniseTransaction(worker.client), first);
  const events = [{ eventId: 'e1', stream: 's', sequence: 1 }];
  const record = async (client: pg.Client, lease: ConsumerLease) =>
    recordNew(recogniseTransaction(client), { consumer: first.consumer, events, lease });
  expect(await record(worker.client, first)).toMatchObject({ kind: 'recorded' });
  await one.die();
  const second = await takenBy(two);
  expect(await endPredecessors(two.run, second, { timeOnly: false })).toBe(1);
  await expect.poll(() => endPredecessors(two.run, second, { timeOnly: false })).toBe(0);
  await expect(worker.client.query('commit')).rejects.toThrow();

  const late = await instance(first.consumer, 'late worker of one');
  await late.client.query('begin');
  await enterEffects(recogniseTransaction(late.client), first);
  expect(await record(late.client, first)).toEqual({ kind: 'deposed' });
  await late.client.query('rollback');
  await two.client.query('begin');
  await enterEffects(recogniseTransaction(two.client), second);
  expect(await record(two.client, second)).toEqual({ kind: 'recorded', fresh: new Set(['e1']) });
  await two.client.query('commit');
});

test.each(['repeatable read', 'serializable'])(
  'a %s transaction that looked at the database before a takeover, and asks to have effects after it, fails',
  async (isolation) => {
    const [one, two] = await pair();
    const first = await takenBy(one);
    const late = await instance(first.consumer, 'late worker of one');
    await late.client.query(`begin isolation level ${isolation}`);
    // The snapshot that all its statements have.
    await late.client.query('select from postcommit.inbox limit 0');
    await one.die();
    await takenBy(two);
    const transaction = recogniseTransaction(late.client);
    await expect(enterEffects(transaction, first)).rejects.toMatchObject({ code: '40001' });
  },
);
