import pg from 'pg';
import { messageOf, PostcommitError } from '../errors.ts';
import { sleep } from '../lifecycle/abort.ts';
import { migrate } from '../migrate/index.ts';
import { DIRECTORY_TABLES } from './directory.ts';
import { type Executioner, startExecutioner } from './executioner.ts';
import { REGISTRY_TABLES } from './registry.ts';
import { type RelayPair, startRelayPair } from './relay-pair.ts';
import { type Env, openServers, type Servers } from './servers.ts';
import { observeStream, type StreamObserver } from './stream-observer.ts';

/** Everything the scenario plays on: servers, tables, two relays, and ways to look at them. */
export interface Stage {
  readonly servers: Servers;
  /** The clinics' connections to their database. */
  readonly clinicPool: pg.Pool;
  /** Those of the directory service. */
  readonly directoryPool: pg.Pool;
  readonly observer: StreamObserver;
  readonly relays: RelayPair;
  readonly executioner: Executioner;
}

export interface StageOptions {
  readonly env: Env;
  readonly relayArgv: readonly [string, ...string[]];
}

/** What has to be undone, the last first. */
export type CleanUp = (() => Promise<unknown> | unknown)[];

const RELAYS_READY_MS = 30_000;
/** The clinics are at most as many as this, with an import; each of the directory's handlers needs one. */
const POOL_SIZE = 16;

/** Each thing it opens leaves in `cleanUp` how to close it, also when a later one fails. */
export async function buildStage({ env, relayArgv }: StageOptions, cleanUp: CleanUp): Promise<Stage> {
  const servers = await openServers(env);
  cleanUp.push(servers.close);
  const { databaseUrl, nats, stream, relayEnv } = servers;
  await migrate({ url: databaseUrl });
  const clinicPool = openPool(databaseUrl, 'clinics', cleanUp);
  const directoryPool = openPool(databaseUrl, 'directory', cleanUp);
  await clinicPool.query(`${REGISTRY_TABLES};${DIRECTORY_TABLES}`);
  const relays = startRelayPair({ argv: relayArgv, env: relayEnv });
  const observer = await observeStream(nats, stream).catch(async (error) => {
    await relays.stop();
    throw error;
  });
  cleanUp.push(observer.close);
  if (servers.natsIsGiven) cleanUp.push(observer.deleteStream);
  cleanUp.push(relays.stop);
  const executioner = startExecutioner(nats);
  cleanUp.push(executioner.close);
  await untilReady(relays);
  return { servers, clinicPool, directoryPool, observer, relays, executioner };
}

/** In order, each whatever became of the others. @throws the first error. */
export async function undo(cleanUp: CleanUp): Promise<void> {
  const errors: unknown[] = [];
  for (const step of cleanUp.splice(0).reverse()) {
    try {
      await step();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length === 0) return;
  throw new PostcommitError(
    'service-failed',
    `not everything could be cleared away: ${errors.map(messageOf).join('; ')}`,
    'Look for databases and streams named postcommit_demo_… and remove them.',
  );
}

function openPool(url: string, name: string, cleanUp: CleanUp): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: POOL_SIZE,
    application_name: `postcommit demo ${name}`,
  });
  // An idle connection that breaks is replaced; one in use says so itself.
  pool.on('error', () => {});
  cleanUp.push(() => pool.end());
  return pool;
}

async function untilReady(relays: RelayPair): Promise<void> {
  const late = new AbortController();
  const outcome = await Promise.race([
    relays.ready().then(() => 'ready' as const),
    relays.failed,
    sleep(RELAYS_READY_MS, late.signal).then(() => 'late' as const),
  ]);
  late.abort();
  if (outcome === 'ready') return;
  if (outcome !== 'late') throw outcome;
  throw new PostcommitError(
    'service-failed',
    `the relays were not ready in ${RELAYS_READY_MS / 1_000} s${relays.trouble === '' ? '' : `: ${relays.trouble}`}`,
    'Does the NATS server have JetStream enabled, and may this account create streams?',
  );
}
