/**
 * The outbox relay of the usual articles, as a competent engineer writes it: poll, lock a batch past what others hold,
 * publish, mark as sent, commit. Started by `load/textbook-relay.ts` with how it publishes and how many rows it takes.
 */
import { type JetStreamClient, jetstream } from '@nats-io/jetstream';
import { headers as createHeaders } from '@nats-io/nats-core';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { sleep } from '../../src/lifecycle/abort.ts';

interface Row {
  readonly id: string;
  readonly event_id: string;
  readonly subject: string;
  readonly payload: Uint8Array;
}

/** Eager for its kind: what libraries of this technique wait by default is between 100 ms and 5 s. */
const POLL_INTERVAL_MS = 100;

const [publishing = 'one-by-one', batchText = '100'] = process.argv.slice(2);
const batch = Number(batchText);
const { DATABASE_URL, NATS_URL = '' } = process.env;

async function publish(client: JetStreamClient, { id, event_id, subject, payload }: Row): Promise<void> {
  const headers = createHeaders();
  headers.set('Bench-Number', id);
  await client.publish(subject, payload, { msgID: event_id, headers });
}

async function publishAll(client: JetStreamClient, rows: readonly Row[]): Promise<void> {
  if (publishing === 'in-parallel') await Promise.all(rows.map((row) => publish(client, row)));
  else for (const row of rows) await publish(client, row);
}

/** Returns how many it sent. Named statements are planned once. */
async function relayBatch(database: pg.Client, client: JetStreamClient): Promise<number> {
  await database.query('begin');
  const { rows } = await database.query<Row>({
    name: 'next',
    text: `select id, event_id, subject, payload from outbox
            where sent_at is null order by id limit $1 for update skip locked`,
    values: [batch],
  });
  if (rows.length > 0) {
    await publishAll(client, rows);
    await database.query({
      name: 'sent',
      text: 'update outbox set sent_at = now() where id = any($1::bigint[])',
      values: [rows.map(({ id }) => id)],
    });
  }
  await database.query('commit');
  return rows.length;
}

const stopping = new AbortController();
process.once('SIGTERM', () => stopping.abort());
const database = new pg.Client(DATABASE_URL);
await database.connect();
// The client captures a stack trace for each request unless it is told not to: few know, and it is told for fairness.
const connection = await connect({ servers: NATS_URL, noAsyncTraces: true });
const client = jetstream(connection);
process.stdout.write('ready\n');
while (!stopping.signal.aborted) {
  const sent = await relayBatch(database, client);
  if (sent === 0) await sleep(POLL_INTERVAL_MS, stopping.signal);
}
await connection.close();
await database.end();
