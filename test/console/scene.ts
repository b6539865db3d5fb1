import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { type Consumer, consume, Reject } from '../../src/consumer/index.ts';
import { type RunningCli, startCli } from '../support/cli.ts';
import { createMigratedDatabase, natsUrl, replicas, scratchName } from '../support/services.ts';

export const TOKEN = 'token-of-this-test';

/** A relay with its console, a consumer that fails on what is told, and a database to write to. */
export interface ConsoleScene extends AsyncDisposable {
  readonly url: string;
  readonly stream: string;
  readonly pool: pg.Pool;
  readonly env: Readonly<Record<string, string>>;
  readonly relay: RunningCli;
  readonly jsm: JetStreamManager;
  /** Consumers `wards`, which fails while this is true, and what it was handed. */
  readonly ward: { closed: boolean; readonly seen: string[] };
  /** Writes an event and returns its position. */
  write(subject: string, options?: { key?: string; payload?: unknown }): Promise<number>;
  get(path: string, headers?: Record<string, string>): Promise<Reply>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Reply>;
}

export interface Reply {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever JSON came, to be compared with what is expected.
  readonly body: any;
}

export const UNLOCKED = { authorization: `Bearer ${TOKEN}` };

export async function openConsoleScene(): Promise<ConsoleScene> {
  const database = await createMigratedDatabase();
  const stream = scratchName('console');
  const pool = new pg.Pool({ connectionString: database.url });
  pool.on('error', () => undefined);
  const connection = await connect({ servers: natsUrl() });
  const jsm = await jetstreamManager(connection);
  // A larger event is a dead letter of the relay's.
  const config = { name: stream, subjects: [`${stream}.>`], num_replicas: replicas(), max_msg_size: 10_000 };
  await jsm.streams.add(config);
  const env = {
    DATABASE_URL: database.url,
    NATS_URL: natsUrl(),
    POSTCOMMIT_STREAM: stream,
    POSTCOMMIT_SUBJECTS: `${stream}.>`,
    POSTCOMMIT_HTTP: '127.0.0.1:0',
    POSTCOMMIT_CONSOLE_TOKEN: TOKEN,
  };
  const relay = startCli(['relay'], env);
  const { http } = await relay.line('ready');
  const url = String(http);
  const ward: ConsoleScene['ward'] = { closed: true, seen: [] };
  const consumer: Consumer = await consume(
    { nats: natsUrl(), stream, durable: 'wards', db: pool, subjects: [`${stream}.ward.>`] },
    (event) => {
      ward.seen.push(event.id);
      if (ward.closed) throw new Reject('the ward is closed');
    },
  );
  const ask = async (path: string, init: RequestInit): Promise<Reply> => {
    const response = await fetch(url + path, init);
    return { status: response.status, body: await response.json() };
  };
  return {
    url,
    stream,
    pool,
    env,
    relay,
    jsm,
    ward,
    async write(subject, { key, payload = {} } = {}) {
      const { rows } = await pool.query(
        `with e as (select postcommit.enqueue($1, $2::jsonb, key => $3) as id) select id from e`,
        [`${stream}.${subject}`, JSON.stringify(payload), key ?? null],
      );
      const found = await pool.query('select position::int from postcommit.outbox where event_id = $1', [
        rows[0].id,
      ]);
      return found.rows[0].position as number;
    },
    get: (path, headers = {}) => ask(path, { headers }),
    post: (path, body, headers = {}) =>
      ask(path, {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        headers: { 'content-type': 'application/json', ...headers },
      }),
    async [Symbol.asyncDispose]() {
      await consumer.stop();
      relay.process.kill('SIGTERM');
      await relay.exit;
      await jsm.streams.delete(stream);
      await connection.close();
      await pool.end();
      await database.drop();
    },
  };
}
