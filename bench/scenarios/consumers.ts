import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { type ConsumeOptions, consume, consumeBatches } from '../../src/consumer/index.ts';
import { migrate } from '../../src/migrate/index.ts';
import type { BenchContext } from '../context.ts';
import { type BenchResult, median, spreadOf } from '../report/result.ts';

const STREAM = 'consume';
const KEYS = 100;

type Options = Partial<ConsumeOptions<pg.Pool>>;

/** One handler at a time; each event is one row, in order by key. */
const VARIANTS: readonly {
  readonly name: string;
  readonly start: (options: ConsumeOptions<pg.Pool>) => ReturnType<typeof consume>;
}[] = [
  { name: 'consume, one event a transaction', start: (options) => consume(options, insertOne) },
  {
    name: 'consume, up to 100 events a transaction',
    start: (options) => consume({ ...options, batchSize: 100 }, insertOne),
  },
  { name: 'consumeBatches, up to 100 at once', start: (options) => consumeBatches(options, insertAll) },
];

type Event = Parameters<Parameters<typeof consume<pg.Pool>>[1]>[0];
type Context = Parameters<Parameters<typeof consume<pg.Pool>>[1]>[1];

async function insertOne(event: Event, { tx }: Context): Promise<void> {
  await tx.query('insert into effects (event_id, key) values ($1, $2)', [event.id, event.key]);
}

async function insertAll(events: readonly Event[], { tx }: Context): Promise<void> {
  await tx.query('insert into effects (event_id, key) select * from unnest($1::text[], $2::text[])', [
    events.map(({ id }) => id),
    events.map(({ key }) => key),
  ]);
}

/** Events a second through inbox, handler and ack, of a stream that is full when the consumer starts. */
export async function consuming(context: BenchContext): Promise<BenchResult[]> {
  const events = context.quick ? 3_000 : 10_000;
  const url = new URL(context.databaseUrl);
  url.pathname = `/${STREAM}`;
  const admin = new pg.Pool({ connectionString: context.databaseUrl, max: 1 });
  await admin.query(`create database ${STREAM}`);
  await migrate({ url: url.href });
  const pool = new pg.Pool({ connectionString: url.href });
  await pool.query('create table effects (place serial, event_id text, key text)');
  const connection = await connect({ servers: context.natsUrl });
  const jsm = await jetstreamManager(connection);
  const rates = new Map<string, number[]>();
  const wrong = new Map<string, { lost: number; twice: number }>();
  try {
    await fill(jsm, events);
    for (let run = 0; run < context.runs; run++) {
      for (const [i, { name, start }] of VARIANTS.entries()) {
        await pool.query('truncate effects, postcommit.inbox');
        const durable = `run_${run}_${i}`;
        const options: Options = { nats: context.natsUrl, stream: STREAM, durable, db: pool, prefetch: 500 };
        const startedAtMs = performance.now();
        await using _consumer = await start(options as ConsumeOptions<pg.Pool>);
        await settled(jsm, durable);
        const rate = (events * 1_000) / (performance.now() - startedAtMs);
        rates.set(name, [...(rates.get(name) ?? []), rate]);
        const { rows } = await pool.query(
          'select count(*)::int as all, count(distinct event_id)::int as ids from effects',
        );
        wrong.set(name, { lost: events - rows[0].ids, twice: rows[0].all - rows[0].ids });
        context.note(`${name}: ${Math.round(rate)} events/s`);
      }
    }
  } finally {
    await jsm.streams.delete(STREAM);
    await connection.close();
    await pool.end();
    await admin.query(`drop database ${STREAM} with (force)`);
    await admin.end();
  }
  return VARIANTS.map(({ name }) => resultOf(name, rates, wrong.get(name)));
}

async function fill(jsm: JetStreamManager, events: number): Promise<void> {
  await jsm.streams.add({ name: STREAM, subjects: [`${STREAM}.>`] });
  const js = jsm.jetstream();
  for (let first = 0; first < events; first += 500)
    await Promise.all(
      Array.from({ length: Math.min(500, events - first) }, (_, i) =>
        js.publish(`${STREAM}.${(first + i) % KEYS}`, JSON.stringify({ n: first + i })),
      ),
    );
}

async function settled(jsm: JetStreamManager, durable: string): Promise<void> {
  for (;;) {
    const { num_pending, num_ack_pending } = await jsm.consumers.info(STREAM, durable);
    if (num_pending + num_ack_pending === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function resultOf(
  name: string,
  rates: ReadonlyMap<string, readonly number[]>,
  wrong: { readonly lost: number; readonly twice: number } | undefined,
): BenchResult {
  const own = rates.get(name) ?? [];
  const [{ name: baseline } = { name: '' }] = VARIANTS;
  const isBaseline = name === baseline;
  return {
    name,
    unit: 'events/s',
    median: median(own),
    spread: spreadOf(own),
    baseline: isBaseline ? null : baseline,
    ratio: isBaseline ? null : median(own) / median(rates.get(baseline) ?? []),
    lost: wrong?.lost ?? null,
    twice: wrong?.twice ?? null,
    disorder: null,
  };
}
