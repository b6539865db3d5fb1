import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import pg from 'pg';
import { expect } from 'vitest';
import { migrate } from '../../src/migrate/index.ts';
import { createRelay, type Relay, type RelayOptions } from '../../src/relay/index.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { createMigratedDatabase, natsUrl, replicas, scratchName } from './services.ts';

/** An outbox with sessions that write to it, a relay's stream, and what it takes to compare the two. */
export interface Outbox extends AsyncDisposable {
  readonly url: string;
  readonly stream: string;
  /** A subject the stream captures. */
  readonly subject: string;
  /** A session of its own; it ends with the outbox. */
  connect(options?: { readonly url?: string }): Promise<pg.Client>;
  /** Runs in this process and stops with the outbox. */
  startRelay(options?: Partial<RelayOptions>): Promise<RunningRelay>;
  /** Messages in the stream. */
  stored(): Promise<number>;
  untilStored(count: number, options?: { readonly withinMs?: number }): Promise<void>;
  /** Resolves when the stream holds as many messages as the outbox has committed rows. */
  untilDrained(options?: { readonly withinMs?: number }): Promise<void>;
  /** The whole stream, in order. */
  messages(): Promise<StreamMessage[]>;
  compare(): Promise<Comparison>;
}

export interface RunningRelay {
  readonly relay: Relay;
  readonly metrics: Metrics;
  /** The log so far. */
  readonly lines: readonly LogLine[];
  /** The sum of a counter over its labels. */
  count(
    metric: 'sweepFoundEvents' | 'disorderedEvents' | 'foreignMessages' | 'healedEvents',
  ): Promise<number>;
  stop(): Promise<void>;
}

export interface LogLine {
  readonly event: string;
  readonly reason?: string;
}

export interface StreamMessage {
  readonly sequence: number;
  readonly position: number;
  readonly eventId: string;
  readonly key: string;
  readonly payload: string;
}

/** What a comparison of database and stream must find. */
export interface Comparison {
  readonly committed: number;
  /** Committed and not in the stream. */
  readonly lost: number;
  /** In the stream and not committed, or not as it was committed. */
  readonly phantom: number;
  readonly twice: number;
  /** Of a key, and not right behind the version before it. */
  readonly disordered: number;
}

export const FAITHFUL = { lost: 0, phantom: 0, twice: 0, disordered: 0 };

/** Two cores run other tests meanwhile; what takes longer than this does not happen. */
const PATIENCE_MS = 20_000;

/** With `databaseUrl`, an empty database on a server of the test's own. */
export async function openOutbox({ databaseUrl }: { databaseUrl?: string } = {}): Promise<Outbox> {
  const scratch = databaseUrl === undefined ? await createMigratedDatabase() : await migrated(databaseUrl);
  const { url } = scratch;
  const connection = await connect({ servers: natsUrl().split(',') });
  const manager = await jetstreamManager(connection);
  const stream = scratchName('capture');
  await manager.streams.add({ name: stream, subjects: [`${stream}.>`], num_replicas: replicas() });
  const relays: RunningRelay[] = [];
  const clients: pg.Client[] = [];

  async function openClient({ url: other = url }: { url?: string } = {}): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: other });
    client.on('error', () => undefined); // Some tests stop the server.
    clients.push(client);
    await client.connect();
    return client;
  }
  const stored = async () => (await manager.streams.info(stream)).state.messages;
  async function untilStored(count: number, { withinMs = PATIENCE_MS }: { withinMs?: number } = {}) {
    await expect.poll(stored, { timeout: withinMs, interval: 10 }).toBeGreaterThanOrEqual(count);
  }
  async function committed(): Promise<pg.QueryResult> {
    const client = await openClient();
    return client.query(
      'select position::int, event_id, convert_from(payload, $1) as payload from postcommit.outbox',
      ['UTF8'],
    );
  }
  return {
    url,
    stream,
    subject: `${stream}.event`,
    connect: openClient,
    async startRelay(options) {
      const running = await startRelay({ url, stream, ...options });
      relays.push(running);
      const failed = () => running.lines.find(({ event }) => event === 'term-failed')?.reason;
      const isPublishing = () => failed() ?? running.relay.status().lanes[0]?.state;
      await expect.poll(isPublishing, { timeout: PATIENCE_MS, interval: 5 }).toBe('publishing');
      return running;
    },
    stored,
    untilStored,
    async untilDrained(options) {
      await untilStored((await committed()).rows.length, options);
    },
    messages: () => readStream({ connection, manager, stream }),
    async compare() {
      const rows = (await committed()).rows as Row[];
      return compare(rows, await readStream({ connection, manager, stream }));
    },
    async [Symbol.asyncDispose]() {
      for (const running of relays) await running.stop();
      for (const client of clients) await client.end().catch(() => undefined);
      await manager.streams.delete(stream);
      await connection.close();
      await scratch.drop();
    },
  };
}

async function migrated(url: string) {
  await migrate({ url });
  return { url, drop: async () => undefined };
}

async function startRelay({
  url,
  stream,
  ...options
}: { url: string; stream: string } & Partial<RelayOptions>): Promise<RunningRelay> {
  const lines: LogLine[] = [];
  const metrics = createMetrics();
  const relay = createRelay({
    databaseUrl: () => url,
    nats: () => ({ servers: natsUrl().split(',') }),
    lanes: [{ stream, subjects: [`${stream}.>`], ordering: 'stream' }],
    logger: createLogger({ destination: { write: (line) => void lines.push(JSON.parse(line)) } }),
    metrics,
    ...options,
  });
  await relay.start();
  return {
    relay,
    metrics,
    lines,
    async count(metric) {
      const { values } = await metrics[metric].get();
      return values.reduce((sum, { value }) => sum + value, 0);
    },
    stop: () => relay.stop(),
  };
}

interface Source {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly stream: string;
}

async function readStream({ connection, manager, stream }: Source): Promise<StreamMessage[]> {
  const { state } = await manager.streams.info(stream);
  const messages: StreamMessage[] = [];
  if (state.messages === 0) return messages;
  const consumer = await jetstream(connection).consumers.get(stream);
  for await (const message of await consumer.consume({ max_messages: 5_000 })) {
    messages.push({
      sequence: message.seq,
      position: Number(message.headers?.get('Postcommit-Position')),
      eventId: message.headers?.get('Postcommit-Event-Id') ?? '',
      key: message.headers?.get('Postcommit-Key') ?? '',
      payload: message.string(),
    });
    if (message.seq >= state.last_seq) break;
  }
  return messages;
}

interface Row {
  readonly position: number;
  readonly event_id: string;
  readonly payload: string;
}

function compare(rows: readonly Row[], messages: readonly StreamMessage[]): Comparison {
  const byId = new Map(rows.map((row) => [row.event_id, row]));
  const seen = new Set(messages.map(({ eventId }) => eventId));
  const isCopy = ({ eventId, position, payload }: StreamMessage) => {
    const row = byId.get(eventId);
    return row !== undefined && row.position === position && row.payload === payload;
  };
  return {
    committed: rows.length,
    lost: rows.filter(({ event_id }) => !seen.has(event_id)).length,
    phantom: messages.filter((message) => !isCopy(message)).length,
    twice: messages.length - seen.size,
    disordered: countDisordered(messages),
  };
}

/** Writers with a key number its events without holes: a lost, doubled or invented one shows here as well. */
function countDisordered(messages: readonly StreamMessage[]): number {
  const versions = new Map<string, number>();
  let disordered = 0;
  for (const { key, payload } of messages) {
    if (key === '') continue;
    if (Number(payload) !== (versions.get(key) ?? 0) + 1) disordered++;
    versions.set(key, Number(payload));
  }
  return disordered;
}

export interface WriterOptions {
  /** Another way to the database. */
  readonly url?: string;
  readonly writers: number;
  /** Committed by each. */
  readonly events: number;
  /** Longest pause inside a transaction, in milliseconds. */
  readonly pauseMs: number;
  readonly rollbackShare: number;
}

/**
 * Writers that run inside the server, where nothing slows them down: random short transactions that lock an aggregate,
 * raise its version, and write an event with it.
 */
export async function runWriters(outbox: Outbox, options: WriterOptions): Promise<void> {
  const { url = outbox.url, writers, events, pauseMs, rollbackShare } = options;
  const clients = await Promise.all(Array.from({ length: writers }, () => outbox.connect({ url })));
  await clients[0]?.query(WRITER);
  await Promise.all(
    clients.map((client) =>
      client.query('call write_events($1, $2, $3, $4)', [
        outbox.subject,
        events,
        pauseMs / 1_000,
        rollbackShare,
      ]),
    ),
  );
}

const WRITER = `
create table if not exists aggregates (key text primary key, version int not null);
insert into aggregates select 'key-' || i, 0 from generate_series(0, 19) i on conflict do nothing;
create or replace procedure write_events(subject text, events int, pause float8, rollback_share float8)
language plpgsql as $$
declare
  chosen text;
  written int := 0;
  size int;
  next int;
begin
  while written < events loop
    chosen := 'key-' || floor(random() * 20);
    size := least(1 + floor(random() * 3), events - written);
    for i in 1..size loop
      update aggregates set version = version + 1 where key = chosen returning version into next;
      insert into postcommit.outbox (subject, key, payload) values (subject, chosen, convert_to(next::text, 'UTF8'));
      if random() < 0.5 then perform pg_sleep(random() * pause); end if;
    end loop;
    if random() < rollback_share then
      rollback;
    else
      commit;
      written := written + size;
    end if;
  end loop;
end $$`;

/** So many events without a key, in one statement. */
export async function insertEvents(
  client: pg.Client,
  subject: string,
  count: number,
  name = 'event',
): Promise<void> {
  await client.query(
    `insert into postcommit.outbox (subject, payload)
     select $1, convert_to($2 || ' ' || i, 'UTF8') from generate_series(1, $3::int) i`,
    [subject, name, count],
  );
}

/** Resolves when the relay wants to be notified. */
export async function untilParked(client: pg.Client): Promise<void> {
  const parked = async () => {
    const { rows } = await client.query(
      `select to_timestamp(pg_sequence_last_value('postcommit.parked_until')) > clock_timestamp() as parked`,
    );
    return rows[0].parked;
  };
  await expect.poll(parked, { timeout: PATIENCE_MS, interval: 10 }).toBe(true);
}
