import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { loadDatabaseConfig, loadRelayConfig } from '../daemon/config.ts';
import { SETTING_KEYS, settingOf } from '../daemon/settings.ts';
import { startNats, startPostgres } from '../embedded/index.ts';
import { messageOf, PostcommitError } from '../errors.ts';
import { connectBroker, type NatsSettings } from '../jetstream/index.ts';
import { serverErrorOf } from '../postgres/server-error.ts';
import { silentLogger } from '../telemetry/logger.ts';
import { COUNTRIES } from './countries.ts';

export type Env = Readonly<Record<string, string | undefined>>;

/** Where the demo takes place. */
export interface Servers {
  readonly databaseUrl: string;
  readonly natsUrl: string;
  readonly nats: NatsSettings;
  readonly stream: string;
  /** In front of every subject: empty on a NATS server of our own, where nobody else listens. */
  readonly subjectPrefix: string;
  /** All of a relay's environment. */
  readonly relayEnv: Readonly<Record<string, string>>;
  /** In words, for a person. */
  readonly description: string;
  /** The stream has to be deleted at the end, because its server goes on. */
  readonly natsIsGiven: boolean;
  /** Drops the scratch database and stops what was started. */
  close(): Promise<void>;
}

interface Opened {
  readonly env: Env;
  readonly description: string;
  close(): Promise<void>;
}

/**
 * The servers of DATABASE_URL and NATS_URL where they are set, in a scratch database and with a scratch stream;
 * otherwise servers of our own in temporary folders.
 *
 * @throws PostcommitError when what is given cannot be used, or nothing can be started.
 */
export async function openServers(env: Env): Promise<Servers> {
  const scratch = `postcommit_demo_${randomBytes(4).toString('hex')}`;
  const natsIsGiven = isGiven(env, 'NATS_URL');
  const databaseIsGiven = isGiven(env, 'DATABASE_URL');
  const stream = natsIsGiven ? scratch : 'patients';
  const subjectPrefix = natsIsGiven ? `${scratch}.` : '';
  const relayEnv = (connections: Env) => environmentOf(env, { connections, stream, subjectPrefix });
  const given = connectionsOf(env);
  // Told before anything is started. The addresses that are not known yet cannot be wrong.
  loadRelayConfig({
    env: relayEnv({
      ...(databaseIsGiven ? {} : { DATABASE_URL: 'postgres://127.0.0.1/own' }),
      ...(natsIsGiven ? {} : { NATS_URL: 'nats://127.0.0.1' }),
      ...given,
    }),
  });
  const [database, nats] = await bothOrNeither(
    databaseIsGiven ? openScratchDatabase(env, scratch) : openOwnPostgres(),
    natsIsGiven ? openGivenNats(given) : openOwnNats(),
  );
  const all = relayEnv({ ...nats.env, ...database.env });
  const config = loadRelayConfig({ env: all });
  return {
    databaseUrl: config.databaseUrl(),
    natsUrl: config.natsSettings().servers.join(','),
    nats: config.natsSettings(),
    stream,
    subjectPrefix,
    relayEnv: all,
    description: `${database.description}, ${nats.description}`,
    natsIsGiven,
    async close() {
      await Promise.all([database.close(), nats.close()]);
    },
  };
}

function isGiven(env: Env, name: string): boolean {
  return Boolean(env[name] || env[`${name}_FILE`]);
}

const SETTING_NAMES = new Set(
  SETTING_KEYS.map((key) => settingOf(key).env).flatMap((name) => [name, `${name}_FILE`]),
);

/** Where the servers are and how to log in there; a login without its server is none of ours. */
function connectionsOf(env: Env): Env {
  const names = (start: string) =>
    Object.keys(env).filter((name) => SETTING_NAMES.has(name) && name.startsWith(start));
  const used = [
    ...(isGiven(env, 'DATABASE_URL') ? names('DATABASE_URL') : []),
    ...(isGiven(env, 'NATS_URL') ? names('NATS_') : []),
  ];
  return Object.fromEntries(used.map((name) => [name, env[name]]));
}

/** The caller's environment with the demo's settings instead of any of his. */
function environmentOf(
  env: Env,
  { connections, stream, subjectPrefix }: { connections: Env; stream: string; subjectPrefix: string },
): Record<string, string> {
  const foreign = Object.entries(env).filter(
    ([name]) => !SETTING_NAMES.has(name) && !name.startsWith('POSTCOMMIT_'),
  );
  const all = Object.fromEntries([...foreign, ...Object.entries(connections)]);
  return {
    ...(all as Record<string, string>),
    POSTCOMMIT_STREAM: stream,
    POSTCOMMIT_SUBJECTS: COUNTRIES.map((country) => `${subjectPrefix}${country}.patient.*`).join(','),
    POSTCOMMIT_HTTP: '127.0.0.1:0',
    LOG_LEVEL: 'info',
  };
}

async function openOwnPostgres(): Promise<Opened> {
  const server = await startPostgres();
  return {
    env: { DATABASE_URL: server.url },
    description: `PostgreSQL ${server.version} of its own`,
    close: () => server[Symbol.asyncDispose](),
  };
}

async function openOwnNats(): Promise<Opened> {
  const server = await startNats();
  return {
    env: { NATS_URL: server.url },
    description: `NATS ${server.version} of its own`,
    close: () => server[Symbol.asyncDispose](),
  };
}

async function openGivenNats(connections: Env): Promise<Opened> {
  const { natsSettings } = loadRelayConfig({
    env: { DATABASE_URL: 'postgres://127.0.0.1/own', ...connections },
  });
  const link = await connectBroker(natsSettings, { logger: silentLogger() });
  const version = link.connection.info?.version ?? '';
  await link.close();
  return { env: connections, description: `NATS ${version} of NATS_URL`, close: async () => {} };
}

/** A database of its own on the given server: an existing schema `postcommit` there is never touched. */
async function openScratchDatabase(env: Env, name: string): Promise<Opened> {
  const url = loadDatabaseConfig({ env: connectionsOf(env) }).databaseUrl();
  const version = await onServer(url, async (client) => {
    await client.query(`CREATE DATABASE ${name}`);
    const { rows } = await client.query<{ version: string }>(
      `SELECT split_part(current_setting('server_version'), ' ', 1) AS version`,
    );
    return rows[0]?.version ?? '';
  });
  const scratchUrl = new URL(url);
  scratchUrl.pathname = `/${name}`;
  return {
    env: { DATABASE_URL: scratchUrl.href },
    description: `scratch database ${name} on the PostgreSQL ${version} of DATABASE_URL`,
    async close() {
      await onServer(url, (client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
    },
  };
}

async function onServer<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    throw explain(error);
  } finally {
    await client.end().catch(() => {});
  }
}

function explain(error: unknown): PostcommitError {
  const state = serverErrorOf(error)?.code;
  if (state === '42501') {
    return new PostcommitError(
      'database-unsuitable',
      'the role of DATABASE_URL may not create a database, and the demo touches no other',
      'Use a role with CREATEDB, or unset DATABASE_URL: the demo then starts a PostgreSQL of its own.',
      { cause: error },
    );
  }
  return new PostcommitError(
    'database-unreachable',
    `the server of DATABASE_URL cannot be used: ${messageOf(error)}`,
    'Correct DATABASE_URL, or unset it: the demo then starts a PostgreSQL of its own.',
    { cause: error },
  );
}

async function bothOrNeither(first: Promise<Opened>, second: Promise<Opened>): Promise<[Opened, Opened]> {
  const outcomes = await Promise.allSettled([first, second]);
  const [a, b] = outcomes;
  if (a.status === 'fulfilled' && b.status === 'fulfilled') return [a.value, b.value];
  for (const outcome of outcomes) if (outcome.status === 'fulfilled') await outcome.value.close();
  throw outcomes.find((outcome) => outcome.status === 'rejected')?.reason;
}
