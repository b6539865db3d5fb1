import { type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import pg from 'pg';
import { migrate } from '../../../src/migrate/index.ts';
import type { NatsWithStore } from '../../support/nats-with-store.ts';
import { query } from '../../support/query.ts';
import {
  faultsOf,
  type LogRow,
  readDead,
  readLog,
  readOutbox,
  readStream,
  type StreamMessage,
} from '../../support/stream-history.ts';
import { withDatabase } from '../../support/with-database.ts';
import { type DirectedRelay, type DirectedRelayOptions, startDirectedRelay } from './relay.ts';
import { until } from './waiting.ts';

/** A database and a stream of their own on a scene's servers, and what is needed to play one act between them. */
export interface Stage extends AsyncDisposable {
  readonly databaseUrl: string;
  readonly nats: NatsWithStore;
  readonly stream: string;
  /** A subject that the stream captures. */
  readonly subject: string;
  readonly pool: pg.Pool;
  readonly connection: NatsConnection;
  readonly jsm: JetStreamManager;
  /** One transaction with so many events, of the pool or of a client that is inside one. */
  write(count: number, options?: WriteOptions): Promise<void>;
  /** Ends by itself when the act is over. */
  startRelay(options?: DirectedRelayOptions): Promise<DirectedRelay>;
  /** Session of the act's own, ended with it. */
  client(): Promise<pg.Client>;
  lastSequence(): Promise<number>;
  /** False if the stream does not get so far in time. */
  untilSequence(sequence: number, withinMs?: number): Promise<boolean>;
  /** A message that is none of the relay's. */
  publishForeign(): Promise<void>;
  log(): Promise<LogRow[]>;
  messages(): Promise<StreamMessage[]>;
  /** What is wrong with outbox, log and stream once they have had so long to agree, each named by its guarantee. */
  violations(withinMs?: number): Promise<string[]>;
}

export interface WriteOptions {
  readonly by?: pg.ClientBase | undefined;
  readonly key?: string;
  readonly bytes?: number;
}

export interface StageOptions {
  readonly postgresUrl: string;
  readonly nats: NatsWithStore;
  readonly name: string;
  readonly config?: Partial<StreamConfig> | undefined;
}

let stages = 0;

export async function openStage({ postgresUrl, nats, name, config }: StageOptions): Promise<Stage> {
  const stack = new AsyncDisposableStack();
  const scratch = `${name.replaceAll(/[^a-z]/g, '_')}_${++stages}`;
  await query(postgresUrl, `CREATE DATABASE ${scratch}`);
  const databaseUrl = withDatabase(postgresUrl, scratch);
  await migrate({ url: databaseUrl });
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 4, connectionTimeoutMillis: 2_000 });
  pool.on('error', () => undefined);
  stack.defer(() => pool.end());
  const connection = await connect({
    servers: nats.url,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
  stack.defer(() => connection.close());
  const jsm = await jetstreamManager(connection, { timeout: 2_000 });
  await jsm.streams.add({ name: scratch, subjects: [`${scratch}.>`], ...config });
  const subject = `${scratch}.event`;
  const lastSequence = async () => (await jsm.streams.info(scratch)).state.last_seq;
  const log = () => readLog(pool, scratch);
  return {
    databaseUrl,
    nats,
    stream: scratch,
    subject,
    pool,
    connection,
    jsm,
    async write(count, { by, key, bytes = 10 } = {}) {
      await (by ?? pool).query(
        `insert into postcommit.outbox (subject, key, payload)
           select $1, $2, convert_to('event ' || i || repeat('x', $4::int), 'UTF8') from generate_series(1, $3::int) i`,
        [subject, key ?? null, count, bytes],
      );
    },
    async startRelay(options = {}) {
      const relay = await startDirectedRelay({ databaseUrl, natsUrl: nats.url, stream: scratch }, options);
      stack.use(relay);
      return relay;
    },
    async client() {
      const client = new pg.Client({ connectionString: databaseUrl });
      client.on('error', () => undefined);
      await client.connect();
      stack.defer(() => client.end().catch(() => undefined));
      return client;
    },
    lastSequence,
    untilSequence: (sequence, withinMs = 10_000) =>
      until(async () => (await lastSequence().catch(() => 0)) >= sequence, withinMs),
    async publishForeign() {
      await jsm.jetstream().publish(subject, 'not from the outbox');
    },
    log,
    messages: () => readStream(jsm, scratch),
    async violations(withinMs = 8_000) {
      let faults: string[] = [];
      await until(async () => {
        const outbox = await readOutbox(pool);
        const rows = await log();
        const [messages, dead] = [await readStream(jsm, scratch), await readDead(pool)];
        faults = faultsOf({ outbox, log: rows, messages, dead });
        return faults.length === 0;
      }, withinMs);
      return inWords(faults);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const GUARANTEES: readonly (readonly [RegExp, string])[] = [
  [/^lost/, 'G1 loss'],
  [/^phantom/, 'G2 phantom'],
  [/^twice|planned twice/, 'G3 twice'],
  [/epoch|follows batch|older plan/, 'fencing'],
];

/** At most three of a kind. */
function inWords(faults: readonly string[]): string[] {
  const kinds = new Map<string, string[]>();
  for (const fault of faults) {
    const [, title] = GUARANTEES.find(([pattern]) => pattern.test(fault)) ?? [undefined, 'audit'];
    kinds.set(title, [...(kinds.get(title) ?? []), fault]);
  }
  return [...kinds].map(([title, texts]) => `${title}: ${texts.length}: ${texts.slice(0, 3).join('; ')}`);
}
