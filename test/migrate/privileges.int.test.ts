import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startPostgres as startEmbeddedPostgres } from '../../src/embedded/index.ts';
import { migrate } from '../../src/migrate/index.ts';
import { MIGRATIONS } from '../support/migrations.ts';
import { query } from '../support/query.ts';
import { startPostgres } from '../support/services.ts';

function as(url: string, role: string, database: string): string {
  const changed = new URL(url);
  changed.username = role;
  changed.pathname = `/${database}`;
  return changed.href;
}

test('roles: CREATE on the database is enough, a schema made in advance is too, less is refused with the cure', async () => {
  await using server = await startPostgres();
  await query(server.url, `create role app login password 'secret'`);
  await query(server.url, 'create database app');
  const url = new URL(as(server.url, 'app', 'app'));
  url.password = 'secret';
  await expect(migrate({ url: url.href })).rejects.toMatchObject({
    code: 'database-unsuitable',
    message: 'role "app" may not create the schema "postcommit" in database "app"',
    hint: expect.stringContaining('GRANT CREATE ON DATABASE "app" TO "app"'),
  });
  const admin = new URL(server.url);
  admin.pathname = '/app';
  await query(admin.href, 'create schema postcommit');
  await expect(migrate({ url: url.href })).rejects.toThrow('may not create tables in the schema');
  await query(admin.href, 'alter schema postcommit owner to app');
  expect((await migrate({ url: url.href, maxPayload: 9 })).applied).toEqual(MIGRATIONS);
  await query(url.href, 'drop schema postcommit cascade');
  await query(admin.href, 'grant create on database app to app');
  expect((await migrate({ url: url.href, maxPayload: 9 })).applied).toEqual(MIGRATIONS);

  await query(server.url, `create role stranger login password 'secret'`);
  await expect(migrate({ url: url.href.replace('//app:', '//stranger:') })).rejects.toMatchObject({
    code: 'database-unsuitable',
    hint: expect.stringContaining('owns the schema'),
  });
  await query(server.url, `alter database app set default_transaction_read_only = on`);
  await expect(migrate({ url: url.href, maxPayload: 10 })).rejects.toMatchObject({
    code: 'database-unsuitable',
    hint: expect.stringContaining('read-only'),
  });
});

test('a hot standby is refused, whether it was migrated or not', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'postcommit-standby-'));
  try {
    await using server = await startEmbeddedPostgres({ dataDir });
    await server.stop();
    await writeFile(join(dataDir, 'standby.signal'), '');
    await server.start();
    await expect(migrate({ url: server.url })).rejects.toMatchObject({
      code: 'database-unsuitable',
      message: expect.stringContaining('hot standby'),
      hint: 'Point DATABASE_URL at the primary.',
    });
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});
