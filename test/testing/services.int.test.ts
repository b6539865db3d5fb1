import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { consume } from '../../src/consumer/index.ts';
import { enqueue } from '../../src/index.ts';
import {
  type Scratch,
  startTestServices,
  type TestServices,
  type TestServicesOptions,
  until,
  waitForEffect,
} from '../../src/testing/index.ts';
import { query } from '../support/query.ts';
import { natsUrl, scratchName } from '../support/services.ts';

// One server of its own for the tests, as a user has it.
let services: TestServices;
beforeAll(async () => {
  services = await startTestServices({
    async prepare(databaseUrl) {
      await query(databaseUrl, 'CREATE TABLE letters (event_id text)');
    },
  });
});
afterAll(() => services?.[Symbol.asyncDispose]());

async function started(options: TestServicesOptions): Promise<TestServices> {
  const own = await startTestServices(options);
  onTestFinished(() => own[Symbol.asyncDispose]());
  return own;
}

function poolOf({ databaseUrl }: Pick<Scratch, 'databaseUrl'>): pg.Pool {
  const pool = new pg.Pool({ connectionString: databaseUrl });
  pool.on('error', () => undefined);
  onTestFinished(() => pool.end());
  return pool;
}

/** Writes an event and has a consumer write a letter for it. */
async function writeLetter({ natsUrl: nats, stream }: Scratch, pool: pg.Pool): Promise<string> {
  const consumer = await consume({ nats, stream, durable: 'letters', db: pool }, async (event, { tx }) => {
    await tx.query('INSERT INTO letters VALUES ($1)', [event.id]);
  });
  onTestFinished(() => consumer.stop());
  const client = await pool.connect();
  await client.query('BEGIN');
  const eventId = await enqueue(client, { subject: 'events.patient.registered', payload: { name: 'Ada' } });
  await client.query('COMMIT');
  client.release();
  return eventId;
}

const letters = async (pool: pg.Pool) =>
  (await pool.query('SELECT event_id FROM letters')).rows.map(({ event_id }) => event_id as string);

test('from a transaction to an effect, in two scratches at a time with the same stream and subjects', async () => {
  await using one = await services.scratch();
  await using other = await services.scratch();
  expect([one.stream, other.stream]).toEqual(['postcommit', 'postcommit']);
  const written: string[] = [];
  for (const scratch of [one, other]) {
    const pool = poolOf(scratch);
    const eventId = await writeLetter(scratch, pool);
    await waitForEffect(pool, { consumer: 'letters', eventId });
    expect(await letters(pool)).toEqual([eventId]);
    written.push(eventId);
  }
  expect(new Set(written).size).toBe(2);
  expect(one.relay?.status().role).toBe('leader');
});

test('a scratch that is closed leaves nothing behind, and the services close those that are open', async () => {
  const here = await started({ databaseUrl: inject('databaseUrl'), natsUrl: natsUrl() });
  const databases = async () =>
    (await query(inject('databaseUrl'), 'SELECT datname FROM pg_database')).map(([name]) => name);
  const { databaseUrl, stream, relay, [Symbol.asyncDispose]: close } = await here.scratch();
  const name = new URL(databaseUrl).pathname.slice(1);
  expect(await databases()).toContain(name);
  expect(await streams()).toContain(stream);
  await close();
  expect(relay?.status().role).toBe('stopped');
  expect(await databases()).not.toContain(name);
  expect(await streams()).not.toContain(stream);

  const open = await here.scratch();
  await here[Symbol.asyncDispose]();
  expect(await databases()).not.toContain(new URL(open.databaseUrl).pathname.slice(1));
  expect(await streams()).not.toContain(open.stream);
  // Other files come and go under this name; a session that was left stays.
  const sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'postcommit testing'";
  await expect.poll(() => query(inject('databaseUrl'), sessions), { timeout: 20_000 }).toEqual([['0']]);
});

async function streams(): Promise<string[]> {
  const connection = await connect({ servers: natsUrl().split(',') });
  const manager = await jetstreamManager(connection);
  const names: string[] = [];
  for await (const name of manager.streams.names()) names.push(name);
  await connection.close();
  return names;
}

test('a stream that is there already is refused, and kept', async () => {
  const stream = scratchName('kept');
  const connection = await connect({ servers: natsUrl().split(',') });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: stream, subjects: [`${stream}.>`] });
  onTestFinished(async () => {
    await manager.streams.delete(stream);
    await connection.close();
  });
  const lanes = [{ stream, subjects: [`${stream}.>`] }];
  const here = await started({ databaseUrl: inject('databaseUrl'), natsUrl: natsUrl(), lanes });
  await expect(here.scratch()).rejects.toMatchObject({
    code: 'stream-unsuitable',
    message: `the stream '${stream}' exists on the NATS server given, and a scratch deletes its streams at the end`,
  });
  expect(await streams()).toContain(stream);
});

test('subjects that another stream has are said when the scratch is made, which leaves nothing', async () => {
  const stream = scratchName('taken');
  const lanes = [
    { stream: `${stream}_a`, subjects: [`${stream}.>`] },
    { stream: `${stream}_b`, subjects: [`${stream}.a`] },
  ];
  const here = await started({ databaseUrl: inject('databaseUrl'), natsUrl: natsUrl(), lanes });
  await expect(here.scratch()).rejects.toThrow(/subjects overlap/);
  expect((await streams()).filter((name) => name.startsWith(stream))).toEqual([]);
});

test('lanes and their orderings are those that are given; without a relay nobody makes the streams', async () => {
  const lanes = [{ stream: 'orders', subjects: ['orders.>'], ordering: 'key' as const }];
  const here = await started({ databaseUrl: inject('databaseUrl'), lanes, relay: false });
  await using scratch = await here.scratch();
  expect([scratch.stream, scratch.relay]).toEqual(['orders', undefined]);
  const connection = await connect({ servers: scratch.natsUrl });
  const manager = await jetstreamManager(connection);
  expect(await manager.streams.names().next()).toEqual([]);
  await connection.close();
});

test('a `prepare` that fails, or leaves a connection open, is said, and no database is left', async () => {
  // By name: other files make databases there at the same time.
  const made: string[] = [];
  const databaseUrl = inject('databaseUrl');
  const fails = startTestServices({
    databaseUrl,
    prepare(url) {
      made.push(new URL(url).pathname.slice(1));
      throw new Error('no such table');
    },
  });
  await expect(fails).rejects.toThrow('no such table');
  let open: pg.Client | undefined;
  const here = await startTestServices({
    databaseUrl,
    async prepare(url) {
      made.push(new URL(url).pathname.slice(1));
      open = new pg.Client({ connectionString: url });
      open.on('error', () => undefined);
      await open.connect();
    },
  });
  await expect(here.scratch()).rejects.toMatchObject({
    code: 'database-unsuitable',
    hint: expect.stringContaining('await pool.end()'),
  });
  await here[Symbol.asyncDispose]();
  await open?.end();
  expect(made).toHaveLength(2);
  const left = `SELECT datname FROM pg_database WHERE datname IN (${made.map((name) => `'${name}'`).join(', ')})`;
  expect(await query(databaseUrl, left)).toEqual([]);
});

test('a role that may not create databases is told so', async () => {
  const role = scratchName('poor');
  await query(inject('databaseUrl'), `CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
  onTestFinished(async () => {
    await query(inject('databaseUrl'), `DROP ROLE ${role}`);
  });
  const url = new URL(inject('databaseUrl'));
  url.username = role;
  url.password = 'secret';
  await expect(startTestServices({ databaseUrl: url.href })).rejects.toMatchObject({
    code: 'database-unsuitable',
    message: 'the role of `databaseUrl` may not create databases, and each scratch is one',
  });
});

test('with faults, NATS is away for a while and the event has its effect afterwards', async () => {
  await using scratch = await services.scratch({ faults: true });
  const pool = poolOf(scratch);
  scratch.toNats.refuse();
  scratch.toNats.cut();
  await until(() => scratch.relay?.status().brokerConnected === false);
  const client = await pool.connect();
  await client.query('BEGIN');
  const eventId = await enqueue(client, { subject: 'events.a', payload: 1 });
  await client.query('COMMIT');
  client.release();
  await expect(waitForEffect(pool, { consumer: 'letters', eventId, timeoutMs: 300 })).rejects.toThrow(
    'had none within 300 ms',
  );
  await scratch.toNats.accept();
  const consumer = await consume(
    { nats: scratch.natsUrl, stream: scratch.stream, durable: 'letters', db: pool },
    async (event, { tx }) => {
      await tx.query('INSERT INTO letters VALUES ($1)', [event.id]);
    },
  );
  await waitForEffect(pool, { consumer: 'letters', eventId });
  expect(await letters(pool)).toEqual([eventId]);
  await consumer.stop();
  expect([scratch.toPostgres.links > 0, scratch.toNats.links > 0]).toEqual([true, true]);
});

test('a scratch with faults takes one server each', async () => {
  const here = await started({ databaseUrl: inject('databaseUrl'), natsUrl: `${natsUrl()},${natsUrl()}` });
  await expect(here.scratch({ faults: true })).rejects.toMatchObject({ code: 'config-invalid' });
});
