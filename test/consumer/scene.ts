import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, headers as createHeaders, type NatsConnection } from '@nats-io/transport-node';
import pg from 'pg';
import { expect } from 'vitest';
import type { ConsumedEvent, HandlerContext } from '../../src/consumer/index.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createMigratedDatabase, natsUrl, type ScratchDatabase, scratchName } from '../support/services.ts';

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
  counted(result: string): Promise<number>;
}

export async function createScene({ nats = natsUrl() }: { nats?: string } = {}): Promise<Scene> {
  const database = await createMigratedDatabase();
  const pool = new pg.Pool({ connectionString: database.url });
  pool.on('error', () => undefined);
  await pool.query('CREATE TABLE effects (place serial, event_id text)');
  const connection = await connect({ servers: nats, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  const jsm = await jetstreamManager(connection);
  const stream = scratchName('consume');
  await jsm.streams.add({ name: stream, subjects: [`${stream}.>`] });
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
    async untilSettled() {
      await expect
        .poll(async () => settledState(await jsm.consumers.info(stream, durable)), {
          timeout: 30_000,
          interval: 20,
        })
        .toEqual({ num_pending: 0, num_ack_pending: 0 });
    },
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

function settledState({ num_pending, num_ack_pending }: { num_pending: number; num_ack_pending: number }) {
  return { num_pending, num_ack_pending };
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
