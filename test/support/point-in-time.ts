import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { vi } from 'vitest';
import { type EmbeddedPostgres, startPostgres } from '../../src/embedded/index.ts';
import { run } from '../../src/embedded/process.ts';
import { query } from './query.ts';

/** A server with a WAL archive: what was backed up can be restored as of any named point behind it. */
export interface Archived extends AsyncDisposable {
  readonly server: EmbeddedPostgres;
  /** A base backup, taken while the server works. */
  backUp(): Promise<void>;
  /** Names the present moment, and resolves when its WAL is in the archive. */
  mark(name: string): Promise<void>;
  /** A server of its own with what the database held at that point; the first one is stopped. */
  restore(name: string): Promise<EmbeddedPostgres>;
}

/** As pg_basebackup and a WAL archive do it, by hand: the embedded PostgreSQL comes without the programs. */
export async function startArchived(): Promise<Archived> {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-archived-'));
  const [data, copy, archive] = ['data', 'copy', 'archive'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await run('mkdir', [archive]);
  await run('chmod', ['755', folder]); // The server may run as another user than this process.
  await run('chmod', ['777', archive]);
  const server = await startPostgres({
    dataDir: data,
    settings: { archive_mode: 'on', archive_command: `cp %p ${archive}/%f` },
  });
  let restored: EmbeddedPostgres | undefined;
  return {
    server,
    async backUp() {
      const client = new pg.Client({ connectionString: server.url });
      await client.connect();
      await client.query("SELECT pg_backup_start('restore', fast => true)");
      await run('cp', ['-a', data, copy]);
      const { rows } = await client.query('SELECT labelfile FROM pg_backup_stop()');
      await client.end();
      await writeAsServer(copy, 'backup_label', rows[0].labelfile);
      await run('rm', ['-rf', join(copy, 'postmaster.pid'), join(copy, 'pg_wal')]);
      await run('cp', ['-a', join(data, 'pg_wal'), join(copy, 'pg_wal')]);
      await run('sh', ['-c', `rm -f ${join(copy, 'pg_wal')}/0*`]);
    },
    async mark(name) {
      await query(server.url, `SELECT pg_create_restore_point('${name}')`);
      const [row] = await query(server.url, 'SELECT pg_walfile_name(pg_switch_wal())');
      await vi.waitFor(() => run('test', ['-f', join(archive, String(row?.[0]))]), { timeout: 20_000 });
    },
    async restore(name) {
      await server.stop();
      await writeAsServer(copy, 'recovery.signal', '');
      restored = await startPostgres({
        dataDir: copy,
        settings: {
          restore_command: `cp ${archive}/%f %p`,
          recovery_target_name: name,
          recovery_target_action: 'promote',
        },
      });
      const { url } = restored;
      await vi.waitFor(
        async () => {
          if ((await query(url, 'SELECT pg_is_in_recovery()'))[0]?.[0] !== false)
            throw new Error('still restoring');
        },
        { timeout: 30_000, interval: 50 },
      );
      return restored;
    },
    async [Symbol.asyncDispose]() {
      await restored?.[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function writeAsServer(dataDir: string, name: string, content: string): Promise<void> {
  const path = join(dataDir, name);
  await writeFile(path, content);
  await run('chown', ['--reference', dataDir, path]);
}
