import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import { query } from './query.ts';
import { withDatabase } from './with-database.ts';

export { startNats, startPostgres } from './backend.ts';

export interface ScratchDatabase {
  readonly url: string;
  /** Ends all sessions and removes it. */
  drop(): Promise<void>;
}

/** An empty database of its own on the server of this run. */
export async function createScratchDatabase(): Promise<ScratchDatabase> {
  return createCopyOf('template1');
}

/** As `createScratchDatabase`, with the schema `postcommit` in it. */
export async function createMigratedDatabase(): Promise<ScratchDatabase> {
  return createCopyOf(inject('migratedDatabase'));
}

async function createCopyOf(template: string): Promise<ScratchDatabase> {
  const server = inject('databaseUrl');
  const name = scratchName('postcommit_test');
  await query(server, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  return {
    url: withDatabase(server, name),
    async drop() {
      await query(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}

/** The NATS server of this run. Others use it too: take names from `scratchName` and delete your streams. */
export function natsUrl(): string {
  return inject('natsUrl');
}

/** How many copies of a stream on the server of this run there are to be. */
export function replicas(): number {
  return inject('replicas');
}

/** A name nobody else uses, valid for databases, streams, subjects and durables. */
export function scratchName(prefix: string): string {
  return `${prefix}_${randomBytes(6).toString('hex')}`;
}
