import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { type Handlers, serve } from './lines.ts';

/** A writer from `pg` and docs/protocol.md alone: nothing here is postcommit's. */

export interface WrittenEvent {
  readonly subject: string;
  readonly payload?: unknown;
  readonly payloadBase64?: string;
  readonly key?: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly eventId?: string;
}

export interface Change {
  readonly aggregate: string;
  readonly value: string;
  readonly event: WrittenEvent;
}

export type Enqueue = (client: pg.Client, event: WrittenEvent) => Promise<string>;

export const enqueue: Enqueue = async (client, event) => {
  const { subject, payload, payloadBase64, key, type, headers, eventId } = event;
  const isBytes = payloadBase64 !== undefined;
  const { rows } = await client.query<{ id: string }>(
    `SELECT postcommit.${isBytes ? 'enqueue_bytes($1, $2::bytea' : 'enqueue($1, $2::jsonb'},
            key => $3, headers => $4::jsonb, event_id => $5::uuid, type => $6) AS id`,
    [
      subject,
      isBytes ? Buffer.from(payloadBase64, 'base64') : JSON.stringify(payload),
      key ?? null,
      headers === undefined ? null : JSON.stringify(headers),
      eventId ?? null,
      type ?? null,
    ],
  );
  return rows[0]?.id ?? '';
};

/** Takes the row's lock, and waits for whoever has it. */
export async function lockAndChange(client: pg.Client, { aggregate, value }: Change): Promise<void> {
  await client.query(
    `INSERT INTO conformance.aggregates (id, value) VALUES ($1, $2)
     ON CONFLICT (id) DO UPDATE SET value = excluded.value`,
    [aggregate, value],
  );
}

export function writer(client: pg.Client, { enqueue: write }: { readonly enqueue: Enqueue } = { enqueue }) {
  const run = async (text: string) => void (await client.query(text));
  return {
    begin: async ({ twoPhase }: { twoPhase?: true }) => {
      await run('BEGIN');
      if (twoPhase) await run('SET LOCAL postcommit.notify = off');
      return undefined;
    },
    commit: async () => {
      const { command } = await client.query('COMMIT');
      // Of a transaction that has failed, COMMIT makes a rollback, without an error.
      if (command !== 'COMMIT') throw new Error('the transaction was rolled back');
      return undefined;
    },
    rollback: async () => run('ROLLBACK'),
    savepoint: async ({ name }: { name: string }) => run(`SAVEPOINT ${client.escapeIdentifier(name)}`),
    'rollback to': async ({ name }: { name: string }) =>
      run(`ROLLBACK TO SAVEPOINT ${client.escapeIdentifier(name)}`),
    prepare: async ({ name }: { name: string }) => run(`PREPARE TRANSACTION ${client.escapeLiteral(name)}`),
    enqueue: async ({ event }: { event: WrittenEvent }) => ({ id: await write(client, event) }),
    change: async (change: Change) => {
      await lockAndChange(client, change);
      return { id: await write(client, change.event) };
    },
  };
}

export async function openClient(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
  client.on('error', () => process.exit(1));
  await client.connect();
  return client;
}

/** Until the requests end. */
export async function serveWriter(handlersOf: (client: pg.Client) => Handlers): Promise<void> {
  const client = await openClient();
  await serve(handlersOf(client));
  await client.end();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  await serveWriter((client) => writer(client));
