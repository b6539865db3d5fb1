import type { TestProject } from 'vitest/node';
import { startNats, startPostgres } from './backend.ts';

declare module 'vitest' {
  interface ProvidedContext {
    databaseUrl: string;
    natsUrl: string;
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
    const { DATABASE_URL, NATS_URL } = process.env;
    const settings = { max_connections: '300' };
    project.provide('databaseUrl', DATABASE_URL || (await keep(startPostgres({ settings }))));
    project.provide('natsUrl', NATS_URL || (await keep(startNats())));
  } catch (cause) {
    await teardown();
    throw cause;
  }
  return teardown;
}
