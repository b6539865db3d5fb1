import { chown, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { messageOf, PostcommitError } from '../errors.ts';
import { findPostgres, type PostgresBinaries } from './find-postgres.ts';
import { createGuardian } from './guardian.ts';
import { postgresIdentity } from './identity.ts';
import { type Identity, run } from './process.ts';
import {
  createService,
  type DataFolder,
  onFreePort,
  prepareDataFolder,
  refuseOnWindows,
  removeIfTemporary,
  type Service,
} from './service.ts';

/** How to stop: `fast` ends sessions and writes everything out, `immediate` is a crash (SIGQUIT). */
export type PostgresStopMode = 'fast' | 'immediate';

export interface EmbeddedPostgres {
  /** Superuser of this private cluster, on 127.0.0.1, without password. */
  readonly url: string;
  readonly port: number;
  readonly version: string;
  /** Of the postmaster as last started. */
  readonly pid: number;
  stop(mode?: PostgresStopMode): Promise<void>;
  /** Does nothing if it runs. Same port and data. */
  start(): Promise<void>;
  restart(mode?: PostgresStopMode): Promise<void>;
  /** Stops it and removes temporary data. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface PostgresOptions {
  /** Kept when given (and reused if it holds a cluster); otherwise a temporary folder. */
  readonly dataDir?: string | undefined;
  /** Default: a free one. */
  readonly port?: number | undefined;
  /** Server settings, as `-c name=value`. Durability (`fsync`) is on unless turned off here. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** A folder with `initdb` and `postgres`. */
  readonly binDir?: string | undefined;
}

const PROBE_TIMEOUT_MS = 5_000;
const FACTS = `SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
  current_setting('data_directory') AS "dataDirectory"`;
const SIGNALS = { fast: 'SIGINT', immediate: 'SIGQUIT' } as const;

/** Starts a private PostgreSQL server and resolves once it answers a query. */
export async function startPostgres(options: PostgresOptions = {}): Promise<EmbeddedPostgres> {
  refuseOnWindows();
  const folder = await prepareDataFolder('postgres', options.dataDir);
  try {
    const initialised = (await readdir(folder.path)).includes('PG_VERSION');
    const identity = await postgresIdentity(initialised ? folder.path : undefined);
    const binaries = await findPostgres({ binDir: options.binDir, identity });
    if (!initialised) await initialise(folder, { binaries, identity });
    return await onFreePort(options.port, (port) => boot(port, { folder, identity, binaries, options }));
  } catch (cause) {
    await removeIfTemporary(folder);
    throw cause;
  }
}

async function initialise(
  { path, temporary }: DataFolder,
  { binaries, identity }: { binaries: PostgresBinaries; identity: Identity | undefined },
): Promise<void> {
  if (identity !== undefined) await chown(path, identity.uid, identity.gid);
  const args = ['--auth=trust', '--username=postgres', '--encoding=UTF8', '--locale=C', '--no-instructions'];
  // Losing a temporary folder to a power cut is no loss; everything after initdb is flushed as always.
  if (temporary) args.push('--no-sync');
  try {
    await run(join(binaries.binDir, 'initdb'), [...args, `--pgdata=${path}`], { identity });
  } catch (cause) {
    throw new PostcommitError(
      'service-failed',
      `PostgreSQL ${binaries.version} could not set up its data folder.\n${messageOf(cause)}`,
      `The folder ${path} must be empty and reachable for ${identity === undefined ? 'you' : `the user ${identity.name}`}.`,
      { cause },
    );
  }
}

interface BootContext {
  readonly folder: DataFolder;
  readonly identity: Identity | undefined;
  readonly binaries: PostgresBinaries;
  readonly options: PostgresOptions;
}

async function boot(port: number, context: BootContext): Promise<EmbeddedPostgres> {
  const { folder, identity, binaries, options } = context;
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const guardian = createGuardian(
    folder.temporary ? { signal: 'QUIT', temporaryFolder: folder.path } : { signal: 'INT' },
  );
  const launch = {
    name: 'PostgreSQL',
    command: join(binaries.binDir, 'postgres'),
    args: serverArguments(folder.path, { port, settings: options.settings }),
    logFile: join(folder.path, 'server.log'),
    identity,
    guardian,
  };
  try {
    const service = await createService({ folder, guardian, launch, probe: () => askOurs(url, folder) });
    return handleOf(service, { url, port });
  } catch (cause) {
    await guardian.dismiss();
    throw cause;
  }
}

function serverArguments(
  dataDir: string,
  { port, settings }: { port: number; settings: PostgresOptions['settings'] },
): string[] {
  const all = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    ...settings,
  };
  return ['-D', dataDir, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
}

export interface PostgresFacts {
  readonly version: string;
  readonly dataDirectory: string;
}

/** What the server at this address is, once it answers a query. */
export async function askPostgres(url: string): Promise<PostgresFacts> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: PROBE_TIMEOUT_MS });
  // A server that is still recovering closes the connection; the failed query says so.
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<PostgresFacts>(FACTS);
    const facts = rows[0];
    if (facts === undefined) throw new Error('the server answered nothing');
    return facts;
  } finally {
    await client.end().catch(() => {});
  }
}

/** With two starts on one port, the loser would take the winner's answer for its own. */
async function askOurs(url: string, folder: DataFolder): Promise<PostgresFacts> {
  const facts = await askPostgres(url);
  if (facts.dataDirectory !== folder.path) throw new Error(`another server answers on ${url}`);
  return facts;
}

function handleOf(
  service: Service<PostgresFacts>,
  { url, port }: { url: string; port: number },
): EmbeddedPostgres {
  const stop = (mode: PostgresStopMode = 'fast') => service.stop(SIGNALS[mode]);
  return {
    url,
    port,
    get version() {
      return service.facts.version;
    },
    get pid() {
      return service.pid;
    },
    stop,
    start: service.start,
    async restart(mode) {
      await stop(mode);
      await service.start();
    },
    [Symbol.asyncDispose]: () => service.dispose(SIGNALS.fast),
  };
}
