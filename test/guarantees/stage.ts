import { type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import pg from 'pg';
import { expect, vi } from 'vitest';
import { migrate } from '../../src/migrate/index.ts';
import {
  createRelay,
  type LaneOptions,
  type LaneStatus,
  type Relay,
  type RelayOptions,
} from '../../src/relay/index.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { query } from '../support/query.ts';
import {
  type LogLine,
  type RelayProcess,
  type RelayProcessOptions,
  startRelayProcess,
} from '../support/relay-process.ts';
import {
  createMigratedDatabase,
  natsUrl,
  replicas,
  type ScratchDatabase,
  scratchName,
} from '../support/services.ts';
import {
  faultsOf,
  type LogRow,
  readDead,
  readLog,
  readOutbox,
  readStream,
  type StreamMessage,
} from '../support/stream-history.ts';
import { withDatabase } from '../support/with-database.ts';
import { startWriters, type Writers, type WritersOptions } from '../support/writers.ts';

/** An outbox, a stream, and what is needed to run relays between them and to compare both. */
export interface Stage extends AsyncDisposable {
  readonly databaseUrl: string;
  readonly natsUrl: string;
  readonly stream: string;
  /** A subject that the stream captures. */
  readonly subject: string;
  readonly pool: pg.Pool;
  readonly connection: NatsConnection;
  readonly jsm: JetStreamManager;
  /** One transaction with so many events. */
  write(count: number, options?: { subject?: string; payload?: string; key?: string }): Promise<void>;
  startWriters(options?: Omit<WritersOptions, 'url' | 'subject'>): Writers;
  /** A relay in this process. */
  startRelay(options?: StageRelayOptions): Promise<RunningRelay>;
  /** A relay as a process of its own. */
  startRelayProcess(options?: ProcessOptions): Promise<RelayProcess>;
  lastSequence(): Promise<number>;
  /** Commits many events at once and resolves when about this share of them is in the stream. */
  untilPublishing(bulk: { events: number; share: number }): Promise<void>;
  log(): Promise<LogRow[]>;
  /** Resolves when every committed event is planned and the stream reaches the end of the plan. */
  untilDrained(timeoutMs?: number): Promise<void>;
  faults(): Promise<string[]>;
  /** The whole stream, in order. */
  messages(): Promise<StreamMessage[]>;
  /** Counts from now on every attempt to publish into the stream, those that the broker refuses too. */
  countPublishes(): Promise<() => Promise<number>>;
}

/** Of a relay in this process; by default it has one lane on the stage's stream. */
export interface StageRelayOptions extends Partial<RelayOptions> {
  readonly lane?: Partial<LaneOptions>;
}

export interface ProcessOptions
  extends Pick<RelayProcessOptions, 'grace' | 'leaseTtlMs' | 'main' | 'ordering'> {
  /** Of a proxy in front of PostgreSQL. */
  readonly databasePort?: number;
  /** Of a proxy in front of NATS. */
  readonly natsPort?: number;
}

export interface RunningRelay extends AsyncDisposable {
  readonly relay: Relay;
  readonly metrics: Metrics;
  readonly lines: readonly LogLine[];
  /** Resolves when the lane is in this state, with its reason. */
  until(state: LaneStatus['state'], timeoutMs?: number): Promise<string | null>;
  /** The sum of a counter over its labels. */
  count(metric: keyof Omit<Metrics, 'registry'>): Promise<number>;
}

export interface StageOptions {
  /** Servers of the test's own; by default those of the run. Those of a cluster are separated by commas. */
  readonly postgresUrl?: string;
  readonly natsUrl?: string;
  readonly config?: Partial<StreamConfig>;
  /** Makes the schema, on the server that `postgresUrl` names. Default: the present one. */
  readonly migrate?: (databaseUrl: string) => Promise<unknown>;
}

export async function openStage(options: StageOptions = {}): Promise<Stage> {
  const nats = options.natsUrl ?? natsUrl();
  const database =
    options.postgresUrl === undefined
      ? await createMigratedDatabase()
      : await createOn(options.postgresUrl, options.migrate);
  const pool = new pg.Pool({ connectionString: database.url });
  pool.on('error', () => undefined);
  const servers = nats.split(',');
  const { username: user, password: pass } = new URL(servers[0] ?? '');
  const login = user === '' ? {} : { user, pass }; // The client reads none from a URL.
  const connection = await connect({ servers, ...login, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  const jsm = await jetstreamManager(connection, { timeout: 1_000 });
  const stream = scratchName('guarantee');
  const num_replicas = options.natsUrl === undefined ? replicas() : 1;
  await jsm.streams.add({ name: stream, subjects: [`${stream}.>`], num_replicas, ...options.config });
  const subject = `${stream}.event`;
  const log = () => readLog(pool, stream);
  // The server may be restarting: asked again until it answers.
  const lastSequence = () =>
    vi.waitFor(async () => (await jsm.streams.info(stream)).state.last_seq, { timeout: 10_000 });
  const write: Stage['write'] = async (count, { subject: own = subject, payload = 'event', key } = {}) => {
    await pool.query(
      `insert into postcommit.outbox (subject, key, payload) select $1, $4, convert_to($2 || ' ' || i, 'UTF8')
         from generate_series(1, $3::int) i`,
      [own, payload, count, key ?? null],
    );
  };
  return {
    databaseUrl: database.url,
    natsUrl: nats,
    stream,
    subject,
    pool,
    connection,
    jsm,
    write,
    async untilPublishing({ events, share }) {
      const enough = (await lastSequence()) + events * share;
      await write(events);
      await expect.poll(lastSequence, { timeout: 10_000, interval: 1 }).toBeGreaterThan(enough);
    },
    startWriters: (writers = {}) => startWriters({ url: database.url, subject, ...writers }),
    startRelay: (relay = {}) => startRelay({ databaseUrl: database.url, natsUrl: nats, stream, relay }),
    startRelayProcess({ databasePort, natsPort, ...relay } = {}) {
      const [databaseUrl, natsUrl] = [atPort(database.url, databasePort), atPort(nats, natsPort)];
      return startRelayProcess({ databaseUrl, natsUrl, stream, ...relay });
    },
    lastSequence,
    log,
    async untilDrained(timeoutMs = 20_000) {
      await expect
        .poll(async () => remaining(pool, stream, await lastSequence()), { timeout: timeoutMs, interval: 50 })
        .toEqual({ unplanned: 0, unstored: 0 });
    },
    async faults() {
      const [outbox, rows] = [await readOutbox(pool), await log()];
      const messages = await readStream(jsm, stream);
      return faultsOf({ outbox, log: rows, messages, dead: await readDead(pool) });
    },
    messages: () => readStream(jsm, stream),
    async countPublishes() {
      let publishes = 0;
      connection.subscribe(`${stream}.>`, { callback: () => void publishes++ });
      await connection.flush();
      return async () => {
        await connection.flush();
        return publishes;
      };
    },
    async [Symbol.asyncDispose]() {
      if (options.natsUrl === undefined) await jsm.streams.delete(stream).catch(() => undefined);
      await connection.close();
      await pool.end();
      // A server of the test's own may be down by now, and goes with the test.
      await database.drop().catch((error) => {
        if (options.postgresUrl === undefined) throw error;
      });
    },
  };
}

function atPort(address: string, port: number | undefined): string {
  if (port === undefined) return address;
  const url = new URL(address);
  url.port = String(port);
  return url.href;
}

/** A database of its own on another server than that of the run. */
async function createOn(
  server: string,
  makeSchema: StageOptions['migrate'] = (url) => migrate({ url }),
): Promise<ScratchDatabase> {
  const name = scratchName('postcommit_test');
  await query(server, `CREATE DATABASE ${name}`);
  const url = withDatabase(server, name);
  await makeSchema(url);
  return {
    url,
    drop: async () => void (await query(server, `DROP DATABASE ${name} WITH (FORCE)`)),
  };
}

async function remaining(pool: pg.Pool, stream: string, lastSequence: number) {
  const { rows } = await pool.query(
    `select (select count(*) from postcommit.outbox)::int
            - (select coalesce(sum(upper(r) - lower(r)), 0) from postcommit.batches, unnest(positions + parked) r
                where kind = 'new')::int as unplanned,
            (select coalesce(max(last_sequence), 0) from postcommit.batches where stream = $1)::int as "end"`,
    [stream],
  );
  return { unplanned: rows[0].unplanned, unstored: Math.max(0, rows[0].end - lastSequence) };
}

async function startRelay(options: {
  databaseUrl: string;
  natsUrl: string;
  stream: string;
  relay: StageRelayOptions;
}): Promise<RunningRelay> {
  const { databaseUrl, natsUrl: servers, stream } = options;
  const { lane, ...more } = options.relay;
  const lines: LogLine[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const metrics = createMetrics();
  const relay = createRelay({
    databaseUrl: () => databaseUrl,
    nats: () => ({ servers: servers.split(',') }),
    lanes: [{ stream, subjects: [`${stream}.>`], ...lane }],
    logger: createLogger({ destination }),
    metrics,
    ...more,
  });
  await relay.start();
  return {
    relay,
    metrics,
    lines,
    async until(state, timeoutMs = 10_000) {
      const lane = () => relay.status().lanes[0];
      await expect.poll(() => lane()?.state, { timeout: timeoutMs, interval: 5 }).toBe(state);
      return lane()?.reason ?? null;
    },
    async count(metric) {
      const { values } = await metrics[metric].get();
      return values.reduce((sum, { value }) => sum + value, 0);
    },
    [Symbol.asyncDispose]: () => relay.stop({ graceMs: 0 }),
  };
}
