import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { startNats, startPostgres } from '../../src/embedded/index.ts';
import { migrate } from '../../src/migrate/index.ts';
import { INSTRUMENTS } from './instruments.ts';

/** A scratch database with the schema `postcommit` and the script's instruments, and a NATS server. */
export interface Servers extends AsyncDisposable {
  readonly databaseUrl: string;
  readonly natsUrl: string;
  /** Valid as a stream, a token of subjects and a durable; nobody else uses it. */
  readonly name: string;
}

export interface Addresses {
  readonly databaseUrl?: string | undefined;
  readonly natsUrl?: string | undefined;
}

/** Servers of its own where none are given. A given one is used in a database that is made and dropped again. */
export async function openServers(given: Addresses): Promise<Servers> {
  const name = `postcommit_conformance_${randomBytes(4).toString('hex')}`;
  await using opened = new AsyncDisposableStack();
  const serverUrl =
    given.databaseUrl ||
    opened.use(await startPostgres({ settings: { max_prepared_transactions: '4' } })).url;
  const natsUrl = given.natsUrl || opened.use(await startNats()).url;
  await onServer(serverUrl, `CREATE DATABASE ${name} ENCODING 'UTF8' TEMPLATE template0`);
  opened.defer(() => onServer(serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  await migrate({ url: url.href });
  await onServer(url.href, INSTRUMENTS);
  // Whoever needs it on has to say so.
  await onServer(url.href, `ALTER DATABASE ${name} SET synchronous_commit = off`);
  const resources = opened.move();
  return { databaseUrl: url.href, natsUrl, name, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

async function onServer(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
