import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';
import { startNatsCluster } from '../../src/embedded/index.ts';
import { migrate } from '../../src/migrate/index.ts';
import { startNats, startPostgres } from './backend.ts';
import { runCli } from './cli.ts';
import { query } from './query.ts';
import { withDatabase } from './with-database.ts';

const PRISMA_CLIENT = new URL('../../scripts/prisma-client.mjs', import.meta.url).pathname;

declare module 'vitest' {
  interface ProvidedContext {
    databaseUrl: string;
    /** On that server, with the schema in it: copied for each test that wants one. */
    migratedDatabase: string;
    /** Of several servers, by commas, where streams have replicas. */
    natsUrl: string;
    /** Of the run's streams. */
    replicas: number;
  }
}

/**
 * One PostgreSQL and one NATS server for the whole run, unless DATABASE_URL or NATS_URL name others.
 * A server that does not start fails the run: a test that is skipped for want of one proves nothing.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const started: AsyncDisposable[] = [];
  const teardown = async () => {
    for (const server of started.reverse()) await server[Symbol.asyncDispose]();
  };
  async function keep(starting: Promise<AsyncDisposable & { readonly url: string }>): Promise<string> {
    const server = await starting;
    started.push(server);
    return server.url;
  }
  try {
    await runCli(['--version'], { NODE_COMPILE_CACHE: String(project.config.env.NODE_COMPILE_CACHE) }); // Fills it.
    await promisify(execFile)(process.execPath, [PRISMA_CLIENT]);
    const { DATABASE_URL, NATS_URL } = process.env;
    const settings = { max_connections: '300' };
    const databaseUrl = DATABASE_URL || (await keep(startPostgres({ settings })));
    const migrated = await createMigrated(databaseUrl);
    started.push(migrated);
    project.provide('databaseUrl', databaseUrl);
    project.provide('migratedDatabase', migrated.name);
    const replicas = Number(process.env.POSTCOMMIT_TEST_REPLICAS || 1);
    project.provide('replicas', replicas);
    const nats = () => (replicas === 1 ? startNats() : startNatsCluster({ size: replicas }));
    project.provide('natsUrl', NATS_URL || (await keep(nats())));
  } catch (cause) {
    await teardown();
    throw cause;
  }
  return teardown;
}

async function createMigrated(server: string): Promise<AsyncDisposable & { readonly name: string }> {
  const name = `postcommit_test_${randomBytes(6).toString('hex')}`;
  await query(server, `CREATE DATABASE ${name}`);
  await migrate({ url: withDatabase(server, name) });
  return {
    name,
    async [Symbol.asyncDispose]() {
      await query(server, `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}
