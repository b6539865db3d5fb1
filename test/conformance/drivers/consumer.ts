import { createHash } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import {
  AckPolicy,
  type Consumer,
  type ConsumerConfig,
  type JsMsg,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import pg from 'pg';
import { type Handlers, serve } from './lines.ts';

/**
 * A consumer from `pg`, `@nats-io` and docs/protocol.md alone: nothing here is postcommit's. One message is in hand at a
 * time. Where order counts, the durable lets nobody have a second one (P-C8).
 */

export interface Work {
  readonly client: pg.ClientBase;
  readonly message: JsMsg;
  readonly consumer: string;
  readonly id: string;
}

/** What a client has to get right, each step by itself, so that the faulty ones next door can get one wrong. */
export const STEPS = {
  isMarker: (message: JsMsg): boolean => message.headers?.has('Postcommit-Skipped') ?? false,

  idOf(message: JsMsg): string {
    const header = (name: string) => message.headers?.get(name) || undefined;
    const id = header('Postcommit-Event-Id') ?? header('Nats-Msg-Id');
    if (id === undefined) return `${message.info.stream}:${message.seq}`;
    if (id.length <= 512 && !id.includes('\0')) return id;
    return `sha256:${createHash('sha256').update(id).digest('hex')}`;
  },

  async begin(client: pg.ClientBase): Promise<void> {
    await client.query('BEGIN');
    await client.query('SET LOCAL synchronous_commit = on');
  },

  /** False: it has had its effect. */
  async record({ client, message, consumer, id }: Work): Promise<boolean> {
    const { rows } = await client.query<{ fresh: boolean }>(
      'SELECT postcommit.inbox_record($1, $2, $3, $4) AS fresh',
      [consumer, id, message.info.stream, message.seq],
    );
    return rows[0]?.fresh === true;
  },

  async effect(work: Work): Promise<void> {
    const { key, type, headers } = labelsOf(work.message);
    await work.client.query(
      `INSERT INTO conformance.effects (consumer, event_id, subject, key, type, headers, payload)
       VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      [
        work.consumer,
        work.id,
        work.message.subject,
        key,
        type,
        JSON.stringify(headers),
        Buffer.from(work.message.data),
      ],
    );
  },

  async commit({ client }: Work): Promise<void> {
    await client.query('COMMIT');
  },

  ack: (message: JsMsg): void => message.ack(),

  working: (message: JsMsg): void => message.working(),

  retryLater: (message: JsMsg): void => message.nak(200),

  isHopeless: (attempts: number, maxAttempts: number | undefined): boolean => attempts === maxAttempts,

  durable: ({ durable, subjects, ackWaitMs, order }: Consumption): Partial<ConsumerConfig> => ({
    durable_name: durable,
    ...(subjects.length === 1 ? { filter_subject: subjects[0] ?? '' } : { filter_subjects: [...subjects] }),
    ack_policy: AckPolicy.Explicit,
    ack_wait: ackWaitMs * 1_000_000,
    max_ack_pending: order === 'key' ? 1 : 100,
  }),
};

export type Steps = typeof STEPS;

export interface Consumption {
  readonly stream: string;
  readonly durable: string;
  readonly subjects: readonly string[];
  readonly ackWaitMs: number;
  readonly order?: 'key';
  readonly maxAttempts?: number;
}

const DURABLE_MISSING = 10014;

export function labelsOf({ headers }: JsMsg) {
  const own = headers?.keys().filter((name) => !/^(nats|postcommit)-/i.test(name)) ?? [];
  return {
    key: headers?.get('Postcommit-Key') || null,
    type: headers?.get('Postcommit-Type') || null,
    headers: Object.fromEntries(own.map((name) => [name, headers?.values(name).join(', ') ?? ''])),
  };
}

async function openConsumer(
  connection: NatsConnection,
  steps: Steps,
  wanted: Consumption,
): Promise<Consumer> {
  const { stream, durable } = wanted;
  const manager = await jetstreamManager(connection);
  try {
    await manager.consumers.info(stream, durable);
  } catch (error) {
    if ((error as { code?: number }).code !== DURABLE_MISSING) throw error;
    await manager.consumers.add(stream, steps.durable(wanted));
  }
  return jetstream(connection).consumers.get(stream, durable);
}

/** One transaction: the inbox row and the effect, or neither. */
async function attempt(steps: Steps, pool: pg.Pool, work: Omit<Work, 'client'>): Promise<void> {
  await inTransaction(steps, pool, async (client) => {
    if (await steps.record({ ...work, client })) await steps.effect({ ...work, client });
    await steps.commit({ ...work, client });
  });
}

async function inTransaction(
  steps: Steps,
  pool: pg.Pool,
  run: (client: pg.PoolClient) => Promise<void>,
): Promise<void> {
  const client = await pool.connect();
  try {
    await steps.begin(client);
    await run(client);
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

/** The dead letter with the inbox row; only then the server is told. */
async function giveUp(steps: Steps, pool: pg.Pool, work: Omit<Work, 'client'>): Promise<void> {
  const { message, consumer, id } = work;
  const { key, type, headers } = labelsOf(message);
  await inTransaction(steps, pool, async (client) => {
    if (await steps.record({ ...work, client }))
      await client.query(
        `INSERT INTO postcommit.dead_letters
           (consumer, stream, sequence, event_id, subject, key, type, headers, payload, state, outcome, reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'parked', 'failed', 'the effect fails')`,
        [
          consumer,
          message.info.stream,
          message.seq,
          id,
          message.subject,
          key,
          type,
          JSON.stringify(headers),
          Buffer.from(message.data),
        ],
      );
    await client.query('COMMIT');
  });
  message.term();
}

export function consumerHandlers(pool: pg.Pool, connection: NatsConnection, steps: Steps): Handlers {
  let stopping = false;
  let running: Promise<void> = Promise.resolve();
  const attempts = new Map<string, number>();

  async function handle(message: JsMsg, { durable, ackWaitMs, maxAttempts }: Consumption): Promise<void> {
    if (steps.isMarker(message)) return steps.ack(message);
    const work = { message, consumer: durable, id: steps.idOf(message) };
    const alive = setInterval(() => steps.working(message), ackWaitMs / 3);
    try {
      await attempt(steps, pool, work);
      steps.ack(message);
      attempts.delete(work.id);
    } catch {
      const made = (attempts.get(work.id) ?? 0) + 1;
      attempts.set(work.id, made);
      if (steps.isHopeless(made, maxAttempts)) await giveUp(steps, pool, work);
      else steps.retryLater(message);
    } finally {
      clearInterval(alive);
    }
  }

  return {
    async consume(wanted: Consumption) {
      const consumer = await openConsumer(connection, steps, wanted);
      running = (async () => {
        while (!stopping) {
          const message = await consumer.next({ expires: 1_000 });
          if (message !== null) await handle(message, wanted);
        }
      })();
      running.catch((error: Error) => {
        process.stderr.write(`${error.message}\n`);
        process.exit(1);
      });
      return undefined;
    },
    async stop() {
      stopping = true;
      await running;
      await connection.flush();
      return undefined;
    },
    async prune({
      stream,
      durable,
      olderThanSeconds,
    }: {
      stream: string;
      durable: string;
      olderThanSeconds: number;
    }) {
      const { state } = await (await jetstreamManager(connection)).streams.info(stream);
      const { rows } = await pool.query<{ pruned: number }>(
        `SELECT postcommit.inbox_prune($1, $2, $3, $4 * interval '1 second') AS pruned`,
        [durable, stream, state.first_seq, olderThanSeconds],
      );
      return { pruned: rows[0]?.pruned };
    },
  };
}

/** Until the requests end. */
export async function serveConsumer(changed: Partial<Steps> = {}): Promise<void> {
  const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
  pool.on('error', () => undefined);
  const connection = await connect({ servers: (process.env.NATS_URL ?? '').split(',') });
  const handlers = consumerHandlers(pool, connection, { ...STEPS, ...changed });
  await serve(handlers);
  process.exit(0);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await serveConsumer();
