import { type ConsumerInfo, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, headers as createHeaders, type NatsConnection } from '@nats-io/transport-node';
import pg from 'pg';
import { expect } from 'vitest';
import type { ConsumedEvent, HandlerContext } from '../../src/consumer/index.ts';
import { migrate } from '../../src/migrate/index.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import {
  createMigratedDatabase,
  natsUrl,
  replicas,
  type ScratchDatabase,
  scratchName,
} from '../support/services.ts';

/** A stream, a database with a table of effects, and what is needed to look at both. */
export interface Scene extends AsyncDisposable {
  readonly stream: string;
  readonly durable: string;
  readonly nats: string;
  readonly connection: NatsConnection;
  readonly jsm: JetStreamManager;
  readonly database: ScratchDatabase;
  readonly pool: pg.Pool;
  readonly metrics: ReturnType<typeof createMetrics>;
  /** Options of consume() for this scene. */
  readonly options: { nats: string; stream: string; durable: string; db: pg.Pool; metrics: Scene['metrics'] };
  publish(payload: unknown, headers?: Record<string, string>): Promise<number>;
  /** Ids in the order of their effects; an effect that happened twice is there twice. */
  effects(): Promise<string[]>;
  inboxIds(): Promise<string[]>;
  /** Resolves when every message was delivered and acknowledged. */
  untilSettled(): Promise<void>;
  /** The same, where the durable may be missing at first. */
  untilSettledWhenBack(): Promise<void>;
  counted(result: string): Promise<number>;
}

export interface SceneOptions {
  readonly nats?: string;
  /** An empty database on a server of the test's own. */
  readonly databaseUrl?: string;
}

export async function createScene({ nats = natsUrl(), databaseUrl }: SceneOptions = {}): Promise<Scene> {
  const database = databaseUrl === undefined ? await createMigratedDatabase() : await migrated(databaseUrl);
  const pool = new pg.Pool({ connectionString: database.url });
  // end() does not wait for the sockets, and dropping the database ends the sessions behind them.
  pool.on('error', () => undefined);
  await pool.query('CREATE TABLE effects (place serial, event_id text)');
  const servers = nats.split(',');
  const connection = await connect({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  const jsm = await jetstreamManager(connection);
  const stream = scratchName('consume');
  const num_replicas = nats === natsUrl() ? replicas() : 1;
  await jsm.streams.add({ name: stream, subjects: [`${stream}.>`], num_replicas });
  const durable = 'billing';
  const metrics = createMetrics();
  const ids = async (sql: string) => (await pool.query(sql)).rows.map((row) => row.event_id as string);
  return {
    stream,
    durable,
    nats,
    connection,
    jsm,
    database,
    pool,
    metrics,
    options: { nats, stream, durable, db: pool, metrics },
    async publish(payload, headers = {}) {
      const messageHeaders = createHeaders();
      for (const [name, value] of Object.entries(headers)) messageHeaders.set(name, value);
      const ack = await jsm
        .jetstream()
        .publish(`${stream}.event`, JSON.stringify(payload), { headers: messageHeaders });
      return ack.seq;
    },
    effects: () => ids('SELECT event_id FROM effects ORDER BY place'),
    inboxIds: () => ids('SELECT event_id FROM postcommit.inbox ORDER BY sequence'),
    untilSettled: () => untilSettled(() => jsm.consumers.info(stream, durable)),
    untilSettledWhenBack: () =>
      untilSettled(() => jsm.consumers.info(stream, durable).catch(() => undefined)),
    async counted(result) {
      const { values } = await metrics.consumedEvents.get();
      return values.find(({ labels }) => labels.result === result && labels.consumer === durable)?.value ?? 0;
    },
    async [Symbol.asyncDispose]() {
      await jsm.streams.delete(stream).catch(() => undefined);
      await connection.close();
      await pool.end();
      await database.drop();
    },
  };
}

async function migrated(url: string): Promise<ScratchDatabase> {
  await migrate({ url });
  return { url, drop: async () => undefined };
}

async function untilSettled(look: () => Promise<ConsumerInfo | undefined>): Promise<void> {
  const open = async () => {
    const info = await look();
    if (info === undefined) return 'no durable';
    // A cluster may not know yet that there is something for a durable that it has just made.
    if (info.delivered.consumer_seq === 0) return 'nothing delivered';
    return info.num_pending + info.num_ack_pending;
  };
  await expect.poll(open, { timeout: 30_000, interval: 20 }).toBe(0);
}

/** The handler of most tests: one row per effect. */
export async function effect(event: ConsumedEvent, { tx }: HandlerContext<pg.PoolClient>): Promise<void> {
  await tx.query('INSERT INTO effects (event_id) VALUES ($1)', [event.id]);
}

/** A promise and the call that fulfils it. */
export function signal<Value = void>() {
  let fire: (value: Value) => void = () => undefined;
  const fired = new Promise<Value>((resolve) => {
    fire = resolve;
  });
  return { fired, fire };
}

/** Resolves at the n-th call. */
export function countdown(calls: number) {
  const { fired, fire } = signal();
  let left = calls;
  return {
    done: fired,
    call() {
      left -= 1;
      if (left === 0) fire();
    },
  };
}
