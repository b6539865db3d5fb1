import { type JetStreamClient, jetstream } from '@nats-io/jetstream';
import { connect, headers as createHeaders } from '@nats-io/transport-node';
import pg from 'pg';
import { sleep } from '../../src/lifecycle/abort.ts';

/** What is to be moved away from: takes events out of a database and publishes them. Stops between two of its turns. */
export interface LegacyPublisher {
  readonly published: number;
  stop(): Promise<void>;
}

interface Outgoing {
  readonly id: string;
  readonly subject: string;
  readonly payload: string;
}

type Turn = (client: pg.Client, publish: (events: readonly Outgoing[]) => Promise<void>) => Promise<void>;

/** A poller as many services have one: unpublished rows in order, published one by one, then marked. */
export function startPoller(target: { url: string; nats: string }): Promise<LegacyPublisher> {
  return start(target, async (client, publish) => {
    await client.query('BEGIN');
    const { rows } = await client.query(
      'SELECT id, type, payload::text FROM outbox WHERE published_at IS NULL ORDER BY position LIMIT 20 FOR UPDATE',
    );
    await publish(rows.map(({ id, type, payload }) => ({ id, subject: `orders.${type}`, payload })));
    const ids = rows.map(({ id }) => id);
    await client.query('UPDATE outbox SET published_at = now() WHERE id = ANY ($1)', [ids]);
    await client.query('COMMIT');
  });
}

/** Reads `pgoutput` of a slot as Debezium does, and publishes each inserted row with its id as the header `id`. */
export function startSlotReader(target: { url: string; nats: string }): Promise<LegacyPublisher> {
  return start(target, async (client, publish) => {
    const { rows } = await client.query<{ data: Buffer }>(
      `SELECT data FROM pg_logical_slot_get_binary_changes('debezium', NULL, 50,
         'proto_version', '1', 'publication_names', 'dbz_publication')`,
    );
    const inserted = rows.map(({ data }) => insertedRow(data)).filter((row) => row !== undefined);
    await publish(
      inserted.map(([id = '', , , type = '', payload = '']) => ({ id, subject: `orders.${type}`, payload })),
    );
  });
}

/** The columns of an INSERT message, as text; undefined for every other message. */
function insertedRow(data: Buffer): string[] | undefined {
  if (String.fromCharCode(data[0] ?? 0) !== 'I') return undefined;
  const columns: string[] = [];
  // Behind the kind: the relation's id (4 bytes), `N`, the number of columns.
  const count = data.readInt16BE(6);
  for (let at = 8; columns.length < count; ) {
    if (String.fromCharCode(data[at] ?? 0) !== 't') throw new Error('a column that is not text');
    const length = data.readInt32BE(at + 1);
    columns.push(data.toString('utf8', at + 5, at + 5 + length));
    at += 5 + length;
  }
  return columns;
}

async function start({ url, nats }: { url: string; nats: string }, turn: Turn): Promise<LegacyPublisher> {
  const stopping = new AbortController();
  const connection = await connect({ servers: nats });
  const js = jetstream(connection);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let published = 0;
  const publish = async (events: readonly Outgoing[]) => {
    for (const event of events) {
      await publishOne(js, event);
      published++;
    }
  };
  const run = async () => {
    while (!stopping.signal.aborted) {
      await turn(client, publish);
      await sleep(10, stopping.signal);
    }
  };
  const running = run();
  running.catch(() => undefined); // Thrown by stop().
  return {
    get published() {
      return published;
    },
    async stop() {
      stopping.abort();
      try {
        await running;
      } finally {
        await client.end();
        await connection.close();
      }
    },
  };
}

async function publishOne(js: JetStreamClient, { id, subject, payload }: Outgoing): Promise<void> {
  const headers = createHeaders();
  headers.set('id', id);
  await js.publish(subject, payload, { msgID: id, headers });
}
