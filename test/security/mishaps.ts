import { inspect } from 'node:util';
import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { expect } from 'vitest';
import {
  type ConsumedEvent,
  type ConsumeOptions,
  consume,
  createMetrics,
  type HandlerContext,
} from '../../src/consumer/index.ts';
import { enqueue, type OutboxEvent } from '../../src/index.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { startRecorder } from '../tracing/recorder.ts';
import type { Canaries } from './canaries.ts';

export interface Mishaps {
  readonly canaries: Canaries;
  /** What came out, by where. */
  readonly places: Map<string, string>;
  readonly databaseUrl: string;
  readonly stream: string;
}

/** Larger than a NATS server takes by default. */
const TOO_LARGE = 'x'.repeat(1_060_000);

/** Events that are published, that become dead letters of the relay, and that the database refuses. */
export async function write({ canaries, places, databaseUrl, stream }: Mishaps): Promise<void> {
  const { plant } = canaries;
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const inTransaction = async (work: () => Promise<unknown>) => {
    await client.query('BEGIN');
    await work().finally(() => client.query('COMMIT'));
  };
  const event = (what: string, rest: Partial<OutboxEvent> = {}): OutboxEvent => ({
    subject: `${stream}.fine`,
    headers: { 'X-Secret': plant(`a header of ${what}`) },
    payload: { secret: plant(`the payload of ${what}`) },
    ...rest,
  });
  await inTransaction(() =>
    enqueue(client, [
      event('an event', { key: plant('a key'), type: plant('a type') }),
      event('an event that no lane takes', { subject: 'elsewhere.a' }),
      event('an event that is too large', {
        payload: { secret: plant('a payload that is too large'), more: TOO_LARGE },
        headers: {},
      }),
    ]),
  );
  const refused: Record<string, () => Promise<unknown>> = {
    'a line break in a header': () =>
      enqueue(
        client,
        event('a refused event', { headers: { a: `x\n${plant('a header with a line break')}` } }),
      ),
    'a key with blanks': () =>
      enqueue(client, event('an event with a bad key', { key: ` ${plant('a bad key')}` })),
    'a payload that is no JSON': () =>
      enqueue(client, event('a Map', { payload: new Map([['a', plant('in a Map')]]) })),
    'a header, in SQL': () =>
      client.query('SELECT postcommit.enqueue($1, $2, headers => $3)', [
        `${stream}.a`,
        JSON.stringify(plant('a payload in SQL')),
        JSON.stringify({ a: `x\n${plant('a header in SQL')}` }),
      ]),
    'no subject': () =>
      client.query('INSERT INTO postcommit.outbox (subject, payload, headers) VALUES ($1, $2, $3)', [
        null,
        plant('a payload without a subject'),
        JSON.stringify({ a: plant('a header without a subject') }),
      ]),
  };
  for (const [what, attempt] of Object.entries(refused)) {
    const error = await inTransaction(attempt).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error, what).toBeInstanceOf(Error);
    places.set(`the error about ${what}`, inspect(error, { depth: 9 }));
  }
  await client.end();
}

type Tx = HandlerContext<pg.PoolClient>['tx'];

/** Handlers that fail with errors which quote what they were given, by the type of their event. */
const FAILING: Readonly<Record<string, (event: ConsumedEvent, tx: Tx) => unknown>> = {
  'a number that is none': (event, tx) => tx.query('SELECT $1::int', [textOf(event)]),
  'a payload that is no JSON': (event) => event.json(),
  'a text that is no JSON': (event) => JSON.parse(`{"a": ${textOf(event)}}`),
  'a row that is there already': async (event, tx) => {
    const insert = 'INSERT INTO business.patients (name) VALUES ($1), ($1)';
    await tx.query(insert, [textOf(event)]);
  },
  'a row that a CHECK refuses': (event, tx) =>
    tx.query('INSERT INTO business.patients (name, age) VALUES ($1, -1)', [textOf(event)]),
  'a row that lacks a value': (event, tx) =>
    tx.query('INSERT INTO business.patients (name, age) VALUES ($1, NULL)', [textOf(event)]),
  "a statement of an ORM's": (event, tx) => drizzle(tx).execute(sql`SELECT ${textOf(event)}::uuid`),
};

export const BUSINESS = `CREATE SCHEMA business AUTHORIZATION app;
  CREATE TABLE business.patients (name text UNIQUE, age int NOT NULL DEFAULT 1 CHECK (age > 0));
  ALTER TABLE business.patients OWNER TO app`;

function textOf({ payload }: ConsumedEvent): string {
  return Buffer.from(payload).toString();
}

/** A consumer whose handler fails on each of its events, once and for all. */
export async function consumeInVain(
  { canaries, places, databaseUrl, stream }: Mishaps,
  nats: ConsumeOptions['nats'],
): Promise<void> {
  const db = new pg.Pool({ connectionString: databaseUrl });
  let log = '';
  const destination = {
    write(line: string) {
      log += line;
    },
  };
  const metrics = createMetrics();
  const options = { nats, stream, durable: 'letters', db, metrics, maxAttempts: 1 };
  const logger = createLogger({ level: 'trace', destination });
  const recorder = startRecorder();
  const consumer = await consume({ ...options, logger }, async (event, { tx }) => {
    await FAILING[event.type ?? '']?.(event, tx);
  });
  for (const type of Object.keys(FAILING))
    await db.query('SELECT postcommit.enqueue_bytes($1, $2, type => $3, headers => $4)', [
      `${stream}.bad`,
      canaries.plant(type),
      type,
      JSON.stringify({ secret: canaries.plant(`${type}, in a header`) }),
    ]);
  const dead = async () => log.split('\n').filter((line) => line.includes('"consumer-dead-letter"')).length;
  await expect.poll(dead, { timeout: 30_000 }).toBe(Object.keys(FAILING).length);
  await consumer.stop();
  await db.end();
  const spans = recorder
    .spans()
    .map(({ name, attributes, events, status }) => ({ name, attributes, events, status }));
  recorder.stop();
  expect(spans.filter(({ status }) => status.message !== undefined)).toHaveLength(
    Object.keys(FAILING).length,
  );
  places.set('the traces', inspect(spans, { depth: 9, maxStringLength: null }));
  places.set('the log of the consumer', log);
  places.set("the consumer's metrics", await metrics.registry.metrics());
}
