import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { consume } from '../../src/consumer/index.ts';
import { createAuthority } from '../support/certificates.ts';
import { runCli } from '../support/cli.ts';
import { deleteStream } from '../support/delete-stream.ts';
import { createFileFolder, type FileFolder } from '../support/file-folder.ts';
import { createNatsAccounts } from '../support/nats-accounts.ts';
import { query } from '../support/query.ts';
import { startRelay } from '../support/relay-under-test.ts';
import { createMigratedDatabase, natsUrl, type ScratchDatabase, startNats } from '../support/services.ts';
import { startTlsPostgres, type TlsPostgres } from '../support/tls-postgres.ts';
import { LOGIN_KINDS } from './logins.ts';

// Each: the server takes only the new secret, the relay is locked out and says so, the file is replaced, and the very same
// process goes on.

let files: FileFolder;
beforeEach(async () => {
  files = await createFileFolder();
});
afterEach(() => files[Symbol.asyncDispose]());

describe('NATS', () => {
  let database: ScratchDatabase;
  beforeEach(async () => {
    database = await createMigratedDatabase();
  });
  afterEach(() => database.drop());

  const exchangeable = Object.entries(LOGIN_KINDS).filter(([name]) => name !== 'creds');

  test.each(exchangeable)('%s', async (_, { setting, besides = {}, create }) => {
    const [first, second] = [create(), create()];
    await files.put('auth.conf', first.config);
    await using nats = await startNats({ config: 'include ./auth.conf', dataDir: files.path });
    const file = await files.put('secret', first.secret);
    const env = { DATABASE_URL: database.url, NATS_URL: nats.url, ...besides, [`${setting}_FILE`]: file };
    await using relay = await startRelay(env, database.url);
    await relay.publishes();

    await files.put('auth.conf', second.config);
    nats.kill('SIGHUP'); // It reads its configuration again, and hangs up on who may not log in any more.
    await relay.waitsBecause(/NATS: Authorization Violation\. Check NATS_CREDS/);
    await files.put('secret', second.secret);
    await relay.publishes();
  });

  test('user and password in NATS_URL', async () => {
    const config = (password: string) => `authorization { user: relay, password: ${password} }`;
    await files.put('auth.conf', config('first'));
    await using nats = await startNats({ config: 'include ./auth.conf', dataDir: files.path });
    const url = (password: string) => nats.url.replace('//', `//relay:${password}@`);
    const file = await files.put('url', url('first'));
    const env = { DATABASE_URL: database.url, NATS_URL_FILE: file };
    await using relay = await startRelay(env, database.url);
    await relay.publishes();

    await files.put('auth.conf', config('second'));
    nats.kill('SIGHUP');
    await relay.waitsBecause(/NATS: Authorization Violation/);
    await files.put('url', url('second'));
    await relay.publishes();
  });

  test('creds that expire', async () => {
    const accounts = createNatsAccounts();
    await using nats = await startNats({ config: accounts.config });
    const file = await files.put('creds', accounts.creds({ expiresAt: new Date(Date.now() + 5_000) }));
    const env = { DATABASE_URL: database.url, NATS_URL: nats.url, NATS_CREDS_FILE: file };
    await using relay = await startRelay(env, database.url);
    await relay.publishes();

    await relay.waitsBecause(/NATS: Authorization Violation/);
    await files.put('creds', accounts.creds());
    await relay.publishes();
  });

  test('a consumer, whose settings are a function', async () => {
    const config = (password: string) => `authorization { users: [
      { user: admin, password: admin }, { user: letters, password: ${password} } ] }`;
    await files.put('auth.conf', config('first'));
    await using nats = await startNats({ config: 'include ./auth.conf', dataDir: files.path });
    await using stack = new AsyncDisposableStack();
    const admin = await connect({ servers: nats.url, user: 'admin', pass: 'admin' });
    stack.defer(() => admin.close());
    const manager = await jetstreamManager(admin);
    await manager.streams.add({ name: 'letters', subjects: ['letters.>'] });
    let password = 'first';
    const db = new pg.Pool({ connectionString: database.url });
    stack.defer(() => db.end());
    const received: number[] = [];
    const source = () => ({ servers: [nats.url], user: 'letters', password });
    const options = { nats: source, stream: 'letters', durable: 'd', db };
    const consumer = await consume(options, ({ sequence }) => void received.push(sequence));
    stack.defer(() => consumer.stop());
    await manager.jetstream().publish('letters.a');
    await expect.poll(() => received, { timeout: 10_000 }).toEqual([1]);

    await files.put('auth.conf', config('second'));
    const { connections } = await varz(nats);
    nats.kill('SIGHUP');
    await expect
      .poll(async () => (await varz(nats)).connections, { timeout: 10_000 })
      .toBeLessThan(connections);
    await manager.jetstream().publish('letters.b');
    password = 'second';
    await expect.poll(() => received, { timeout: 20_000 }).toEqual([1, 2]);
  });

  async function varz({ monitorUrl }: { monitorUrl: string }): Promise<{ connections: number }> {
    return (await (await fetch(`${monitorUrl}/varz`)).json()) as { connections: number };
  }

  test('certificates of another authority, on both sides', async () => {
    const put = async (name: string) => {
      const authority = createAuthority(name);
      const pairs = {
        server: authority.issue({ name: 'nats', hosts: ['localhost'] }),
        client: authority.issue({ name: 'relay' }),
      };
      for (const [owner, { cert, key }] of Object.entries(pairs)) {
        await files.put(`${name}-${owner}.crt`, cert);
        await files.put(`${name}-${owner}.key`, key);
      }
      await files.put(`${name}-ca`, authority.cert);
      return { authority, ...pairs };
    };
    const [first, second] = [await put('first'), await put('second')];
    const tls = (name: string) => `tls { cert_file: "${files.path}/${name}-server.crt"
      key_file: "${files.path}/${name}-server.key", ca_file: "${files.path}/${name}-ca", verify: true }`;
    await files.put('tls.conf', tls('first'));
    await using nats = await startNats({ config: 'include ./tls.conf', dataDir: files.path });
    const env = {
      DATABASE_URL: database.url,
      NATS_URL: `tls://localhost:${nats.port}`,
      NATS_CA_FILE: await files.put('ca', first.authority.cert),
      NATS_CERT_FILE: await files.put('cert', first.client.cert),
      NATS_KEY_FILE: await files.put('key', first.client.key),
    };
    await using relay = await startRelay(env, database.url);
    await relay.publishes();

    await files.put('tls.conf', tls('second'));
    await nats.restart();
    await relay.waitsBecause(/NATS: the server's certificate is signed by no authority that is trusted here/);
    await files.put('ca', second.authority.cert);
    await files.put('cert', second.client.cert);
    await files.put('key', second.client.key);
    await relay.publishes();
  });
});

describe('PostgreSQL', () => {
  const ours = createAuthority('our authority');
  let server: TlsPostgres;
  beforeEach(async () => {
    const certificate = ours.issue({ name: 'server', hosts: ['localhost'] });
    server = await startTlsPostgres(ours, { certificate, password: 'first' });
    await files.put('ca', ours.cert);
    await query(server.postgres.url, 'CREATE SCHEMA postcommit AUTHORIZATION app');
    expect(await runCli(['migrate'], { DATABASE_URL: url('first') })).toMatchObject({ code: 0 });
  });
  afterEach(() => server[Symbol.asyncDispose]());

  function url(password: string): string {
    const parameters = { sslmode: 'verify-full', sslrootcert: `${files.path}/ca` };
    return server.urlOf({ user: `app:${password}`, parameters });
  }

  test('the password', async () => {
    const env = { DATABASE_URL_FILE: await files.put('url', url('first')), NATS_URL: natsUrl() };
    await using relay = await startRelay(env, server.postgres.url);
    await using cleanUp = new AsyncDisposableStack();
    cleanUp.defer(() => deleteStream(relay.stream));
    await relay.publishes();

    await query(server.postgres.url, "ALTER ROLE app PASSWORD 'second'");
    await terminate('postcommit %');
    await relay.waitsBecause(
      /password authentication failed for user .*app.*Check user, password and pg_hba/,
    );
    await files.put('url', url('second'));
    await relay.publishes();
  });

  test('the password, when the listening session alone is lost', async () => {
    const env = { DATABASE_URL_FILE: await files.put('url', url('first')), NATS_URL: natsUrl() };
    await using relay = await startRelay(env, server.postgres.url);
    await using cleanUp = new AsyncDisposableStack();
    cleanUp.defer(() => deleteStream(relay.stream));
    await relay.publishes();

    await query(server.postgres.url, "ALTER ROLE app PASSWORD 'second'");
    await files.put('url', url('second'));
    await terminate('postcommit listen');
    expect(await relay.cli.line('term-failed')).toMatchObject({
      reason: expect.stringContaining('DATABASE_URL has changed'),
    });
    await relay.publishes();
    const listening =
      "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'postcommit listen'";
    await expect.poll(() => query(server.postgres.url, listening)).toEqual([[1]]);
  });

  async function terminate(sessions: string): Promise<void> {
    await query(
      server.postgres.url,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '${sessions}'`,
    );
  }
});
