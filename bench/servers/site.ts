import { jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { migrate } from '../../src/migrate/index.ts';
import type { BenchContext } from '../context.ts';

/** A database and a stream of one run alone, both gone at its end. */
export interface Site extends AsyncDisposable {
  readonly url: string;
  readonly natsUrl: string;
  readonly pool: pg.Pool;
  /** Also the name of the database. Its subjects begin with it. */
  readonly stream: string;
}

export interface SiteOptions {
  /** Letters, digits and `_`; no other site has it at the same time. */
  readonly name: string;
  /** Connections at most. Default 10. */
  readonly connections?: number;
  /** Whether the database gets postcommit's schema. Default true. */
  readonly migrated?: boolean;
}

type Servers = Pick<BenchContext, 'databaseUrl' | 'natsUrl'>;

export async function openSite(
  { databaseUrl, natsUrl }: Servers,
  { name, connections = 10, migrated = true }: SiteOptions,
): Promise<Site> {
  await execute(
    databaseUrl,
    `create database ${name} template ${migrated ? await templateOn(databaseUrl) : 'template1'}`,
  );
  const url = databaseOn(databaseUrl, name);
  const pool = new pg.Pool({ connectionString: url.href, max: connections });
  pool.on('error', () => undefined); // A connection that is being closed may be ended by the drop.
  return {
    url: url.href,
    natsUrl,
    pool,
    stream: name,
    async [Symbol.asyncDispose]() {
      await pool.end();
      await execute(databaseUrl, `drop database ${name} with (force)`);
      await deleteStream(natsUrl, name);
    },
  };
}

function databaseOn(databaseUrl: string, name: string): URL {
  const url = new URL(databaseUrl);
  url.pathname = `/${name}`;
  return url;
}

const TEMPLATE = 'postcommit_template';
const templates = new Map<string, Promise<string>>();

/** A database to copy: a whole bench opens some hundreds of sites, and a copy takes half the time of a migration. */
function templateOn(databaseUrl: string): Promise<string> {
  const made = templates.get(databaseUrl) ?? makeTemplate(databaseUrl);
  templates.set(databaseUrl, made);
  return made;
}

async function makeTemplate(databaseUrl: string): Promise<string> {
  await execute(databaseUrl, `create database ${TEMPLATE}`);
  await migrate({ url: databaseOn(databaseUrl, TEMPLATE).href });
  return TEMPLATE;
}

/** One statement on a connection of its own. */
export async function execute(url: string, text: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

export async function createStream(
  natsUrl: string,
  name: string,
  config: Partial<StreamConfig> = {},
): Promise<void> {
  const connection = await connect({ servers: natsUrl });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({
    name,
    subjects: [`${name}.>`],
    duplicate_window: 30_000_000_000,
    ...config,
  });
  await connection.close();
}

export async function deleteStream(natsUrl: string, name: string): Promise<void> {
  const connection = await connect({ servers: natsUrl });
  const manager = await jetstreamManager(connection);
  await manager.streams.delete(name).catch(() => false);
  await connection.close();
}
