import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { migrate } from '../../src/migrate/index.ts';

export { startNats, startPostgres } from './backend.ts';

export interface ScratchDatabase {
  readonly url: string;
  /** Ends all sessions and removes it. */
  drop(): Promise<void>;
}

/** An empty database of its own on the server of this run. */
export async function createScratchDatabase(): Promise<ScratchDatabase> {
  const server = inject('databaseUrl');
  const name = scratchName('postcommit_test');
  await execute(server, `CREATE DATABASE ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    drop: () => execute(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

/** As `createScratchDatabase`, with the schema `postcommit` in it. */
export async function createMigratedDatabase(): Promise<ScratchDatabase> {
  const database = await createScratchDatabase();
  await migrate({ url: database.url });
  return database;
}

/** The NATS server of this run. Others use it too: take names from `scratchName` and delete your streams. */
export function natsUrl(): string {
  return inject('natsUrl');
}

/** A name nobody else uses, valid for databases, streams, subjects and durables. */
export function scratchName(prefix: string): string {
  return `${prefix}_${randomBytes(6).toString('hex')}`;
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
