import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { type EmbeddedPostgres, startPostgres } from '../../src/embedded/index.ts';
import { run } from '../../src/embedded/process.ts';
import { query } from './query.ts';

/** A primary and its streaming replica: real servers on loopback, whatever backend the other tests use. */
export interface ReplicaPair extends AsyncDisposable {
  readonly primary: EmbeddedPostgres;
  readonly replica: EmbeddedPostgres;
  /** Resolves when the replica shows everything that the primary has committed until now. */
  untilCaughtUp(): Promise<void>;
  /** From now on the replica receives nothing. */
  cutOff(): Promise<void>;
  /** It receives again. */
  reconnect(): Promise<void>;
  /** The replica becomes a primary, with what it has. */
  promote(): Promise<void>;
}

export interface ReplicaOptions {
  readonly settings?: Readonly<Record<string, string>>;
  /** What the primary knows the replica by: synchronous_standby_names speaks of it. Default `replica`. */
  readonly applicationName?: string;
}

/**
 * The embedded PostgreSQL has no pg_basebackup: the replica starts from a copy of the stopped primary's folder.
 * initdb's pg_hba.conf lets replication in on loopback.
 */
export async function startReplicaPair(options: ReplicaOptions = {}): Promise<ReplicaPair> {
  const { settings = {}, applicationName = 'replica' } = options;
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-replica-'));
  await run('chmod', ['755', folder]); // The servers may run as another user than this process.
  const [first, second] = [join(folder, 'primary'), join(folder, 'replica')];
  const primary = await startPostgres({ dataDir: first, settings });
  await primary.stop();
  await run('cp', ['-a', first, second]);
  await primary.start();
  const source = `host=127.0.0.1 port=${primary.port} user=postgres application_name=${applicationName}`;
  // Not on the command line, which would win over ALTER SYSTEM.
  await appendFile(join(second, 'postgresql.auto.conf'), `primary_conninfo = '${source}'\n`);
  await writeFile(join(second, 'standby.signal'), '');
  await run('chown', ['--reference', second, join(second, 'standby.signal')]);
  const replica = await startPostgres({ dataDir: second, settings });
  const receiveFrom = async (from: string) => {
    await query(replica.url, `alter system set primary_conninfo = '${from}'`);
    await query(replica.url, 'select pg_reload_conf()');
  };
  const untilReceivers = (count: number) =>
    untilTrue(primary.url, `select count(*) = ${count} from pg_stat_replication`);
  await untilReceivers(1);
  return {
    primary,
    replica,
    async untilCaughtUp() {
      const [row] = await query(primary.url, 'select pg_current_wal_insert_lsn()::text');
      await untilTrue(replica.url, `select pg_last_wal_replay_lsn() >= '${row?.[0]}'`);
    },
    async cutOff() {
      await receiveFrom('');
      await untilReceivers(0);
    },
    reconnect: () => receiveFrom(source),
    async promote() {
      await query(replica.url, 'select pg_promote(true, 60)');
    },
    async [Symbol.asyncDispose]() {
      await replica[Symbol.asyncDispose]();
      await primary[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Also for hooks, where `expect.poll` may not be used. */
function untilTrue(url: string, condition: string): Promise<void> {
  return vi.waitFor(
    async () => {
      if ((await query(url, condition))[0]?.[0] !== true) throw new Error(`not so in time: ${condition}`);
    },
    { timeout: 20_000, interval: 20 },
  );
}
