import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { createGuardian } from '../../src/embedded/guardian.ts';
import { postgresIdentity } from '../../src/embedded/identity.ts';
import { freePort } from '../../src/embedded/index.ts';
import { type Identity, run } from '../../src/embedded/process.ts';
import { readableCopy } from '../../src/embedded/readable-copy.ts';
import { launchServer, stopServer, untilReady } from '../../src/embedded/server-process.ts';
import { ensurePgBouncer, type PgBouncerBinary } from './install-pgbouncer.ts';

/** A real PgBouncer in front of a server of the test. */
export interface PgBouncer extends AsyncDisposable {
  readonly port: number;
  /** The same database, by way of the pooler. */
  urlOf(databaseUrl: string): string;
}

export interface PgBouncerOptions {
  /** Of the PostgreSQL server behind it. */
  readonly port: number;
  readonly mode?: 'transaction' | 'session';
  /** Backends per database. Small, so that clients really share them. Default 6. */
  readonly poolSize?: number;
}

export async function startPgBouncer(options: PgBouncerOptions): Promise<PgBouncer> {
  const identity = await postgresIdentity(); // PgBouncer refuses to run as root, as PostgreSQL does.
  const { path, libraries } = await runnableBy(identity, await ensurePgBouncer());
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-pgbouncer-'));
  const config = join(folder, 'pgbouncer.ini');
  await writeFile(config, configuration(port, folder, options));
  await writeFile(join(folder, 'users.txt'), '"postgres" ""\n');
  if (identity !== undefined) await chown(folder, identity.uid, identity.gid);
  const guardian = createGuardian({ signal: 'QUIT', temporaryFolder: folder });
  const launch = {
    name: 'PgBouncer',
    command: 'env',
    args: [`LD_LIBRARY_PATH=${libraries}`, path, config],
    logFile: join(folder, 'pgbouncer.log'),
    identity,
    guardian,
  };
  const server = await launchServer(launch);
  const urlOf = (databaseUrl: string) => {
    const url = new URL(databaseUrl);
    url.port = String(port);
    return url.href;
  };
  await untilReady(server, launch, () => answers(urlOf('postgres://postgres@127.0.0.1/pgbouncer')));
  return {
    port,
    urlOf,
    async [Symbol.asyncDispose]() {
      await stopServer(server, 'SIGQUIT');
      await guardian.dismiss();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function configuration(port: number, folder: string, options: PgBouncerOptions): string {
  return `[databases]
* = host=127.0.0.1 port=${options.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${join(folder, 'users.txt')}
admin_users = postgres
pool_mode = ${options.mode ?? 'transaction'}
default_pool_size = ${options.poolSize ?? 6}
max_client_conn = 200
server_login_retry = 0.2
ignore_startup_parameters = extra_float_digits
`;
}

/** A checkout may lie below a folder that only root may enter. */
async function runnableBy(
  identity: Identity | undefined,
  binary: PgBouncerBinary,
): Promise<Pick<PgBouncerBinary, 'path' | 'libraries'>> {
  if (identity === undefined || binary.folder === null) return binary;
  const reachable = await run('test', ['-x', binary.path], { identity }).then(
    () => true,
    () => false,
  );
  if (reachable) return binary;
  const copy = await readableCopy(binary.folder, 'pgbouncer');
  return { path: join(copy, 'pgbouncer'), libraries: join(copy, 'lib') };
}

async function answers(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  await client.end();
}
