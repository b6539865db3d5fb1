import {
  type EmbeddedNats,
  type EmbeddedPostgres,
  type NatsOptions,
  type PostgresOptions,
  startNats as startEmbeddedNats,
  startPostgres as startEmbeddedPostgres,
} from '../../src/embedded/index.ts';

function usesContainers(): boolean {
  const backend = process.env.POSTCOMMIT_TEST_BACKEND ?? 'embedded';
  if (backend !== 'embedded' && backend !== 'containers')
    throw new Error(`POSTCOMMIT_TEST_BACKEND must be embedded or containers, not ${backend}`);
  return backend === 'containers';
}

/** A PostgreSQL server of its own, for tests that stop, crash or reconfigure it. */
export async function startPostgres(options: PostgresOptions = {}): Promise<EmbeddedPostgres> {
  if (!usesContainers())
    return startEmbeddedPostgres({
      binDir: process.env.POSTCOMMIT_TEST_POSTGRES_BIN || undefined,
      ...options,
    });
  const containers = await import('./containers.ts');
  return containers.startPostgres(options);
}

/** A NATS server of its own with JetStream, for tests that stop, crash or reconfigure it. */
export async function startNats(options: NatsOptions = {}): Promise<EmbeddedNats> {
  if (!usesContainers()) return startEmbeddedNats(options);
  const containers = await import('./containers.ts');
  return containers.startNats(options);
}
