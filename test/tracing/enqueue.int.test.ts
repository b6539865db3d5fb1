import { context, propagation, TraceFlags, trace } from '@opentelemetry/api';
import { suppressTracing } from '@opentelemetry/core';
import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { OutboxEvent } from '../../src/event.ts';
import { enqueue } from '../../src/outbox/enqueue.ts';
import { createMigratedDatabase, type ScratchDatabase } from '../support/services.ts';
import { REMOTE, type Recorder, startRecorder, traceparentOf } from './recorder.ts';

let database: ScratchDatabase;
let pool: pg.Pool;
let recorder: Recorder;

beforeAll(async () => {
  database = await createMigratedDatabase();
  pool = new pg.Pool({ connectionString: database.url });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});
beforeEach(() => {
  recorder = startRecorder();
});
afterEach(() => recorder.stop());

async function write(...events: OutboxEvent[]): Promise<Record<string, string>[]> {
  const ids = await drizzle(pool).transaction((tx) => enqueue(tx, events));
  return stored(ids);
}

async function stored(ids: readonly string[]): Promise<Record<string, string>[]> {
  const { rows } = await pool.query(
    'SELECT headers FROM postcommit.outbox WHERE event_id = ANY($1::uuid[]) ORDER BY position',
    [ids],
  );
  return rows.map(({ headers }) => headers);
}

const event = { subject: 'events.a', payload: {} };

test('the context of the active span is stored with every event of the call', async () => {
  await recorder.within('register', async (span) => {
    const traceparent = traceparentOf(span.spanContext());
    expect(await write({ ...event, headers: { a: 'b' } }, event)).toEqual([
      { a: 'b', traceparent },
      { traceparent },
    ]);
  });
});

test('a single event of a pg client has it too, with the state of its trace', async () => {
  const remote = { traceId: REMOTE.traceId, spanId: REMOTE.spanId, traceFlags: TraceFlags.SAMPLED };
  const incoming = propagation.extract(context.active(), {
    traceparent: REMOTE.traceparent,
    tracestate: 'vendor=1',
  });
  const client = await pool.connect();
  await client.query('BEGIN');
  const id = await context.with(incoming, () => enqueue(client, event));
  await client.query('COMMIT');
  client.release();
  expect(await stored([id])).toEqual([{ traceparent: traceparentOf(remote), tracestate: 'vendor=1' }]);
});

test('that a trace is not sampled is handed on', async () => {
  const incoming = propagation.extract(context.active(), { traceparent: REMOTE.unsampled });
  const written = await context.with(incoming, () => write(event));
  expect(written).toEqual([{ traceparent: REMOTE.unsampled }]);
});

test.each(['traceparent', 'Traceparent', 'tracestate', 'TRACESTATE'])(
  'a header %s of the caller wins, and nothing is mixed with it',
  async (name) => {
    const headers = { [name]: 'mine' };
    const written = await recorder.within('register', () => write({ ...event, headers }, event));
    expect(written[0]).toEqual({ ...headers });
    expect(Object.keys(written[1] ?? {})).toEqual(['traceparent']);
  },
);

test('without an active span, or where tracing is suppressed, nothing is added', async () => {
  expect(await write(event)).toEqual([{}]);
  const suppressed = recorder.within('register', () =>
    context.with(suppressTracing(context.active()), () => write(event)),
  );
  expect(await suppressed).toEqual([{}]);
});

test('with nothing configured nothing is added, even below a span that somebody made', async () => {
  recorder.stop();
  const span = trace.wrapSpanContext({
    traceId: REMOTE.traceId,
    spanId: REMOTE.spanId,
    traceFlags: TraceFlags.SAMPLED,
  });
  expect(await context.with(trace.setSpan(context.active(), span), () => write(event))).toEqual([{}]);
});

test('the propagator of the process decides the headers, and cannot have an event refused', async () => {
  propagation.disable();
  const written: Record<string, string> = {
    'x-trace': 'abc',
    'Nats-Rollup': 'all',
    'Postcommit-Key': 'forged',
    'with blank': 'x',
    broken: 'line\r\nNats-Rollup: all',
    padded: ' x ',
    empty: '',
  };
  propagation.setGlobalPropagator({
    inject(_, carrier, setter) {
      for (const [name, value] of Object.entries(written)) setter.set(carrier, name, value);
    },
    extract: (active) => active,
    fields: () => ['x-trace', 'x-other'],
  });
  await recorder.within('register', async () => {
    expect(await write({ ...event, headers: { a: 'b' } })).toEqual([{ a: 'b', 'x-trace': 'abc' }]);
    expect(await write({ ...event, headers: { 'X-Other': 'mine' } })).toEqual([{ 'X-Other': 'mine' }]);
  });
});

test('a propagator that throws costs the header alone', async () => {
  propagation.disable();
  propagation.setGlobalPropagator({
    inject() {
      throw new Error('no');
    },
    extract: (active) => active,
    fields: () => [],
  });
  expect(await recorder.within('register', () => write(event))).toEqual([{}]);
});

test('an event that is refused is refused as without a trace', async () => {
  const refused = recorder.within('register', () =>
    write(event, { ...event, headers: { 'Nats-Rollup': 'all' } }),
  );
  await expect(refused).rejects.toMatchObject({
    code: 'event-invalid',
    message: expect.stringContaining('event 1 of the array'),
  });
  const none = null as unknown as OutboxEvent;
  await expect(recorder.within('register', () => write(none))).rejects.toMatchObject({
    code: 'event-invalid',
  });
});
