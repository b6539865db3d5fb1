import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { createRelay, type LaneOptions } from '../../src/relay/index.ts';
import { type Driver, startDriver } from './driver.ts';
import type { Servers } from './servers.ts';
import { eventually, Unmet } from './verdict.ts';

/** A message as the stream holds it. */
export interface Published {
  readonly sequence: number;
  readonly subject: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly payload: Buffer;
}

/** Where a client is tried: the servers, a relay at work, and a stream. */
export interface Stage extends AsyncDisposable {
  readonly servers: Servers;
  readonly db: pg.Pool;
  readonly js: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly stream: string;
  /** A subject below the stream's that no other call has had. */
  subject(name: string): string;
  /** Starts the client under test; `urls`: other addresses than the stage's. */
  drive(urls?: { readonly databaseUrl?: string; readonly natsUrl?: string }): Driver;
  /** Everything that the stream stored since the last call, up to an event that is written now. */
  published(): Promise<readonly Published[]>;
}

export interface StageOptions {
  readonly servers: Servers;
  readonly command: readonly string[];
  readonly ordering: NonNullable<LaneOptions['ordering']>;
}

export async function openStage({ servers, command, ordering }: StageOptions): Promise<Stage> {
  const { databaseUrl, natsUrl, name: stream } = servers;
  await using opened = new AsyncDisposableStack();
  const db = opened.adopt(new pg.Pool({ connectionString: databaseUrl }), (pool) => pool.end());
  db.on('error', () => undefined);
  const connection = opened.adopt(await connect({ servers: natsUrl.split(',') }), (link) => link.close());
  const manager = await jetstreamManager(connection);
  opened.defer(() =>
    manager.streams.delete(stream).then(
      () => undefined,
      () => undefined,
    ),
  );
  const relay = createRelay({
    databaseUrl: () => databaseUrl,
    nats: () => ({ servers: natsUrl.split(',') }),
    lanes: [{ stream, subjects: [`${stream}.>`], ordering }],
  });
  opened.defer(() => relay.stop());
  await relay.start();
  await eventually('the relay to lead', async () => relay.status().role === 'leader', {
    seen: () => relay.status().reason ?? 'it does not',
  });
  const drivers: Driver[] = [];
  opened.defer(async () => void (await Promise.all(drivers.map((driver) => driver.kill()))));
  let subjects = 0;
  let readTo = 0;

  /** What committed before it is in the stream before it, in `stream` ordering. */
  async function fence(): Promise<number> {
    const { rows } = await db.query<{ id: string }>(`SELECT postcommit.enqueue($1, '{}') AS id`, [
      `${stream}.fence`,
    ]);
    const isFence = async () => {
      const last = await manager.streams.getMessage(stream, { last_by_subj: `${stream}.fence` });
      return last?.header.get('Postcommit-Event-Id') === rows[0]?.id && last?.seq;
    };
    return eventually('the relay to publish', isFence, { seen: () => 'it did not' });
  }

  const resources = opened.move();
  return {
    servers,
    db,
    js: jetstream(connection),
    manager,
    stream,
    subject: (name) => `${stream}.${++subjects}.${name}`,
    drive(urls = {}) {
      const driver = startDriver({ command, databaseUrl, natsUrl, ...urls });
      drivers.push(driver);
      return driver;
    },
    async published() {
      const to = await fence();
      const messages: Published[] = [];
      for (let sequence = readTo + 1; sequence < to; sequence++) messages.push(await read(sequence));
      readTo = to;
      return messages;
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };

  async function read(sequence: number): Promise<Published> {
    const message = await manager.streams.getMessage(stream, { seq: sequence });
    if (message === null) throw new Unmet(`a message at sequence ${sequence}`, 'there was none');
    const headers = Object.fromEntries(message.header.keys().map((key) => [key, message.header.values(key)]));
    return { sequence, subject: message.subject, headers, payload: Buffer.from(message.data) };
  }
}
