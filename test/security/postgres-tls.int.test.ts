import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Authority, type Certificate, createAuthority } from '../support/certificates.ts';
import { runCli, startCli } from '../support/cli.ts';
import { deleteStream } from '../support/delete-stream.ts';
import { createFileFolder, type FileFolder } from '../support/file-folder.ts';
import { query } from '../support/query.ts';
import { createScratchDatabase, natsUrl, scratchName } from '../support/services.ts';
import { startTlsPostgres, type TlsPostgres } from '../support/tls-postgres.ts';

const PASSWORD = 'hunter2-postgres';

let ours: Authority;
let server: TlsPostgres;
let files: FileFolder;
beforeAll(async () => {
  ours = createAuthority('our authority');
  server = await startTlsPostgres(ours, { certificate: forLocalhost(), password: PASSWORD });
  files = await createFileFolder();
  const others = createAuthority('their authority');
  await files.put('ca', ours.cert);
  await files.put('other-ca', others.cert);
  await putPair('right', ours.issue({ name: 'certified' }));
  await putPair('of-app', ours.issue({ name: 'app' }));
  await putPair('foreign', others.issue({ name: 'certified' }));
  await putPair('expired', ours.issue({ name: 'certified', expiresAt: new Date(Date.now() - 1_000) }));
  await files.put('no-pem', `-----BEGIN PRIVATE KEY-----\n${PASSWORD}\n-----END PRIVATE KEY-----\n`);
  await query(server.postgres.url, 'CREATE SCHEMA postcommit AUTHORIZATION app');
  expect(
    await runCli(['migrate'], { DATABASE_URL: asApp('verify-full', { sslrootcert: 'ca' }) }),
  ).toMatchObject({
    code: 0,
  });
  await query(server.postgres.url, 'GRANT app TO certified');
});
afterAll(async () => {
  for (const resource of [server, files]) await resource?.[Symbol.asyncDispose]();
});

function forLocalhost(expiresAt?: Date): Certificate {
  return ours.issue({
    name: 'server',
    hosts: ['localhost'],
    ...(expiresAt === undefined ? {} : { expiresAt }),
  });
}

async function putPair(name: string, { cert, key }: Certificate): Promise<void> {
  await files.put(`${name}.crt`, cert);
  await files.put(`${name}.key`, key);
}

type Parameters = Readonly<Record<string, string>>;

/** Files by their names in the folder of the test. */
function withPaths(parameters: Parameters): Parameters {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, file]) => [
      name,
      file.startsWith('/') ? file : `${files.path}/${file}`,
    ]),
  );
}

function asApp(sslmode: string | undefined, parameters: Parameters = {}, host = 'localhost'): string {
  const user = `app:${PASSWORD}`;
  return server.urlOf({ user, host, parameters: { ...(sslmode && { sslmode }), ...withPaths(parameters) } });
}

function asCertified(parameters: Parameters): string {
  const verify = { sslmode: 'verify-full', ...withPaths({ sslrootcert: 'ca' }) };
  return server.urlOf({ user: 'certified', parameters: { ...verify, ...withPaths(parameters) } });
}

const UNENCRYPTED = /no encryption[\s\S]*hint: .*sslmode=verify-full and sslrootcert/;
const UNTRUSTED = /signed by no authority that is trusted here[\s\S]*hint: Set sslrootcert/;
const MISNAMED = /not for 127\.0\.0\.1, but for DNS:localhost[\s\S]*hint: Use a host in DATABASE_URL/;

/** `sslmode` as node-postgres understands it: `require` and `verify-ca` check as much as `verify-full`. */
test.each<[what: string, url: () => string, error: RegExp | undefined]>([
  ['no sslmode', () => asApp(undefined), UNENCRYPTED],
  ['disable', () => asApp('disable'), UNENCRYPTED],
  ['require, the authority is known', () => asApp('require', { sslrootcert: 'ca' }), undefined],
  ['require, no authority', () => asApp('require'), UNTRUSTED],
  ['require, another host name', () => asApp('require', { sslrootcert: 'ca' }, '127.0.0.1'), MISNAMED],
  ['verify-ca, the right authority', () => asApp('verify-ca', { sslrootcert: 'ca' }), undefined],
  ['verify-ca, another authority', () => asApp('verify-ca', { sslrootcert: 'other-ca' }), UNTRUSTED],
  ['verify-ca, another host name', () => asApp('verify-ca', { sslrootcert: 'ca' }, '127.0.0.1'), MISNAMED],
  ['verify-full, all right', () => asApp('verify-full', { sslrootcert: 'ca' }), undefined],
  ['verify-full, another authority', () => asApp('verify-full', { sslrootcert: 'other-ca' }), UNTRUSTED],
  [
    'verify-full, another host name',
    () => asApp('verify-full', { sslrootcert: 'ca' }, '127.0.0.1'),
    MISNAMED,
  ],
  [
    'an authority in no file',
    () => asApp('verify-full', { sslrootcert: 'nowhere' }),
    /no such file or directory, open '.*nowhere'[\s\S]*hint: .*certificate files/,
  ],
  [
    'a wrong password over TLS',
    () => asApp('verify-full', { sslrootcert: 'ca' }).replace(PASSWORD, `${PASSWORD}-not`),
    /password authentication failed[\s\S]*hint: Check user, password/,
  ],
  ['a client certificate', () => asCertified({ sslcert: 'right.crt', sslkey: 'right.key' }), undefined],
  [
    'no client certificate',
    () => asCertified({}),
    /requires a valid client certificate[\s\S]*hint: Add sslcert and sslkey/,
  ],
  [
    "somebody else's client certificate",
    () => asCertified({ sslcert: 'of-app.crt', sslkey: 'of-app.key' }),
    /certificate authentication failed[\s\S]*hint: The common name/,
  ],
  [
    'a client certificate of another authority',
    () => asCertified({ sslcert: 'foreign.crt', sslkey: 'foreign.key' }),
    /does not take the client's certificate \(unknown ca\)[\s\S]*hint: Set sslcert and sslkey/,
  ],
  [
    'a client certificate that has expired',
    () => asCertified({ sslcert: 'expired.crt', sslkey: 'expired.key' }),
    /does not take the client's certificate \(.*expired\)[\s\S]*hint: Set sslcert and sslkey/,
  ],
  [
    'the key of another certificate',
    () => asCertified({ sslcert: 'right.crt', sslkey: 'of-app.key' }),
    /another one's[\s\S]*hint: Check sslcert and sslkey/,
  ],
  [
    'a key that is none',
    () => asCertified({ sslcert: 'right.crt', sslkey: 'no-pem' }),
    /cannot be read as PEM[\s\S]*hint: Check sslcert and sslkey/,
  ],
])('%s', async (_, url, error) => {
  const { code, stdout, stderr } = await runCli(['audit', '--dry-run'], { DATABASE_URL: url() });
  if (error === undefined) expect({ code, stderr }).toMatchObject({ code: 0 });
  else {
    expect(stderr).toMatch(error);
    expect([3, 4]).toContain(code);
  }
  expect(stdout + stderr).not.toContain('hunter2');
});

test('a server certificate that has expired is refused, and its renewal is taken without a restart', async () => {
  const url = asApp('verify-full', { sslrootcert: 'ca' });
  await server.use(forLocalhost(new Date(Date.now() - 1_000)));
  const ended = () => runCli(['audit', '--dry-run'], { DATABASE_URL: url });
  await expect
    .poll(async () => (await ended()).stderr, { timeout: 10_000 })
    .toMatch(/not valid at this time[\s\S]*hint: Renew the server's certificate/);
  await server.use(forLocalhost());
  await expect.poll(async () => (await ended()).code, { timeout: 10_000 }).toBe(0);
});

test('a server without TLS is not spoken to where TLS is asked for', async () => {
  const database = await createScratchDatabase();
  const { stderr, code } = await runCli(['audit', '--dry-run'], {
    DATABASE_URL: `${database.url}?sslmode=verify-full`,
  });
  expect(stderr).toMatch(/does not support SSL[\s\S]*hint: Switch TLS on at the server/);
  expect(code).toBe(4);
  await database.drop();
});

test('every session of a relay is encrypted, and shows its client certificate', async () => {
  const url = asCertified({ sslcert: 'right.crt', sslkey: 'right.key' });
  const stream = scratchName('pg_tls');
  await using cleanUp = new AsyncDisposableStack();
  cleanUp.defer(() => deleteStream(stream));
  await using relay = startCli(['relay'], {
    DATABASE_URL: url,
    NATS_URL: natsUrl(),
    POSTCOMMIT_STREAM: stream,
    POSTCOMMIT_SUBJECTS: `${stream}.>`,
    POSTCOMMIT_HTTP: 'off',
  });
  expect(await relay.line('ready')).toMatchObject({ role: 'leader' });
  const sessions = await query(
    server.postgres.url,
    `SELECT regexp_replace(application_name, '^(postcommit lease) .*', '\\1'), ssl, version, client_dn FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
      WHERE application_name LIKE 'postcommit %' ORDER BY 1`,
  );
  expect(sessions).toEqual(
    ['lease', 'listen', 'maintenance', 'read', 'relay'].map((name) => [
      `postcommit ${name}`,
      true,
      'TLSv1.3',
      '/CN=certified',
    ]),
  );
});
