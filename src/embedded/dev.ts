import { join } from 'node:path';
import { type Logger, silentLogger } from '../telemetry/logger.ts';
import { type EmbeddedNats, startNats } from './nats-server.ts';
import { type EmbeddedPostgres, startPostgres } from './postgres.ts';

export interface DevServices {
  readonly postgres: EmbeddedPostgres;
  readonly nats: EmbeddedNats;
  /** Stops both and removes temporary data. */
  stop(): Promise<void>;
}

/** A PostgreSQL and a NATS server for development. With `dataDir` their data is kept in two folders below it. */
export async function startDevServices(
  options: { readonly dataDir?: string | undefined; readonly logger?: Logger | undefined } = {},
): Promise<DevServices> {
  const { dataDir, logger = silentLogger() } = options;
  const below = (name: string) => (dataDir === undefined ? undefined : join(dataDir, name));
  const [postgres, nats] = await bothOrNeither(
    startPostgres({ dataDir: below('postgres') }),
    startNats({ dataDir: below('nats') }),
  );
  logger.info(
    { event: 'postgres-started', url: postgres.url, version: postgres.version },
    'PostgreSQL is up',
  );
  logger.info({ event: 'nats-started', url: nats.url, version: nats.version }, 'NATS with JetStream is up');
  return {
    postgres,
    nats,
    async stop() {
      await Promise.all([postgres[Symbol.asyncDispose](), nats[Symbol.asyncDispose]()]);
      logger.info({ event: 'services-stopped' }, 'PostgreSQL and NATS are stopped');
    },
  };
}

async function bothOrNeither<A extends AsyncDisposable, B extends AsyncDisposable>(
  first: Promise<A>,
  second: Promise<B>,
): Promise<[A, B]> {
  const outcomes = await Promise.allSettled([first, second]);
  const [a, b] = outcomes;
  if (a.status === 'fulfilled' && b.status === 'fulfilled') return [a.value, b.value];
  for (const outcome of outcomes)
    if (outcome.status === 'fulfilled') await outcome.value[Symbol.asyncDispose]();
  throw outcomes.find((outcome) => outcome.status === 'rejected')?.reason;
}
