import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import { type BareNats, startBareNats } from '../support/bare-nats.ts';
import { type Authority, type Certificate, createAuthority } from '../support/certificates.ts';
import { type Env, runCli } from '../support/cli.ts';
import { createFileFolder, type FileFolder } from '../support/file-folder.ts';
import { natsServerOf } from '../support/nats-server-versions.ts';
import { startRelay } from '../support/relay-under-test.ts';
import { createMigratedDatabase, type ScratchDatabase, startNats } from '../support/services.ts';

type Server = 'plain' | 'tls' | 'by address' | 'mutual' | 'expired' | 'first';

let files: FileFolder;
let ours: Authority;
let database: ScratchDatabase;
const servers = new Map<Server, EmbeddedNats | BareNats>();

beforeAll(async () => {
  files = await createFileFolder();
  ours = createAuthority('our authority');
  const theirs = createAuthority('their authority');
  await files.put('ca', ours.cert);
  await files.put('other-ca', theirs.cert);
  await putPair('right', ours.issue({ name: 'relay' }));
  await putPair('foreign', theirs.issue({ name: 'relay' }));
  await putPair('outdated', ours.issue({ name: 'relay', expiresAt: aSecondAgo() }));
  await putPair('server', ours.issue({ name: 'nats', hosts: ['localhost'] }));
  await putPair('server-by-address', ours.issue({ name: 'nats', hosts: ['127.0.0.1'] }));
  await putPair(
    'expired-server',
    ours.issue({ name: 'nats', hosts: ['localhost'], expiresAt: aSecondAgo() }),
  );
  const tls = (name: string, more = '') =>
    `tls { cert_file: "${files.path}/${name}.crt", key_file: "${files.path}/${name}.key"${more} }`;
  servers.set('plain', await startNats());
  servers.set('tls', await startNats({ config: tls('server') }));
  servers.set('by address', await startNats({ config: tls('server-by-address') }));
  servers.set(
    'mutual',
    await startNats({ config: tls('server', `, ca_file: "${files.path}/ca", verify: true`) }),
  );
  servers.set('expired', await startNats({ config: tls('expired-server') }));
  const { path } = await natsServerOf('2.10.27');
  servers.set('first', await startBareNats(path, tls('server', ', handshake_first: true')));
  database = await createMigratedDatabase();
});
afterAll(async () => {
  for (const server of servers.values()) await server[Symbol.asyncDispose]();
  await database?.drop();
  await files?.[Symbol.asyncDispose]();
});

function aSecondAgo(): Date {
  return new Date(Date.now() - 1_000);
}

async function putPair(name: string, { cert, key }: Certificate): Promise<void> {
  await files.put(`${name}.crt`, cert);
  await files.put(`${name}.key`, key);
}

const UNTRUSTED = /signed by no authority that is trusted here[\s\S]*hint: Set NATS_CA to/;
const REFUSED = /does not take the client's certificate[\s\S]*hint: Set NATS_CERT and NATS_KEY/;
const right = { NATS_CA: 'ca', NATS_CERT: 'right.crt', NATS_KEY_FILE: 'right.key' };

test.concurrent.each<[what: string, server: Server, url: string, files: Env, error?: RegExp]>([
  ['the right authority', 'tls', 'tls://localhost', { NATS_CA: 'ca' }],
  ['the right authority, by NAME_FILE', 'tls', 'tls://localhost', { NATS_CA_FILE: 'ca' }],
  ['TLS that the server asks for', 'tls', 'nats://localhost', { NATS_CA: 'ca' }],
  ['no authority', 'tls', 'tls://localhost', {}, UNTRUSTED],
  ['no authority, TLS that the server asks for', 'tls', 'nats://localhost', {}, UNTRUSTED],
  ['another authority', 'tls', 'tls://localhost', { NATS_CA: 'other-ca' }, UNTRUSTED],
  [
    'an address that the certificate is not for',
    'tls',
    'tls://127.0.0.1',
    { NATS_CA: 'ca' },
    /not for 127\.0\.0\.1, but for DNS:localhost[\s\S]*hint: Use a host in NATS_URL/,
  ],
  ['an address that the certificate is for', 'by address', 'tls://127.0.0.1', { NATS_CA: 'ca' }],
  [
    'a name that the certificate is not for',
    'by address',
    'tls://localhost',
    { NATS_CA: 'ca' },
    /not for localhost, but for IP Address:127\.0\.0\.1[\s\S]*hint: Use a host in NATS_URL/,
  ],
  [
    'a server certificate that has expired',
    'expired',
    'tls://localhost',
    { NATS_CA: 'ca' },
    /not valid at this time[\s\S]*hint: Renew/,
  ],
  [
    'a server without TLS',
    'plain',
    'tls://localhost',
    {},
    /does not support 'tls'[\s\S]*hint: Switch TLS on at nats-server/,
  ],
  [
    'a server without TLS, and an authority',
    'plain',
    'nats://localhost',
    { NATS_CA: 'ca' },
    /does not support 'tls'/,
  ],
  ['a client certificate', 'mutual', 'tls://localhost', right],
  ['no client certificate', 'mutual', 'tls://localhost', { NATS_CA: 'ca' }, REFUSED],
  [
    'a client certificate of another authority',
    'mutual',
    'tls://localhost',
    { ...right, NATS_CERT: 'foreign.crt', NATS_KEY_FILE: 'foreign.key' },
    REFUSED,
  ],
  [
    'a client certificate that has expired',
    'mutual',
    'tls://localhost',
    { ...right, NATS_CERT: 'outdated.crt', NATS_KEY_FILE: 'outdated.key' },
    REFUSED,
  ],
  [
    'the key of another certificate',
    'mutual',
    'tls://localhost',
    { ...right, NATS_KEY_FILE: 'foreign.key' },
    /another one's[\s\S]*hint: Check NATS_CERT and NATS_KEY/,
  ],
  ['TLS first', 'first', 'tls://localhost', { NATS_CA: 'ca', NATS_TLS_FIRST: 'true' }],
  [
    'a server that wants TLS first',
    'first',
    'tls://localhost',
    { NATS_CA: 'ca' },
    /waits for TLS before it says a word \(handshake_first\)[\s\S]*hint: .*NATS_TLS_FIRST=true/,
  ],
  [
    'TLS first with a server that greets first',
    'tls',
    'tls://localhost',
    { NATS_CA: 'ca', NATS_TLS_FIRST: 'true' },
    /TLS failed \(wrong version number\)[\s\S]*hint: .*NATS_TLS_FIRST=true/,
  ],
])('%s', async (_, server, url, given, error) => {
  const paths = Object.entries(given).map(([name, value]) => [
    name,
    name === 'NATS_TLS_FIRST' ? value : `${files.path}/${value}`,
  ]);
  const env = {
    DATABASE_URL: database.url,
    NATS_URL: `${url}:${servers.get(server)?.port}`,
    ...Object.fromEntries(paths),
  };
  if (error === undefined) return expectPublishing(env);
  const { code, stderr } = await runCli(['relay'], { ...env, POSTCOMMIT_HTTP: 'off' });
  expect(stderr).toMatch(error);
  expect(code).toBe(4);
});

async function expectPublishing(env: Env): Promise<void> {
  const own = await createMigratedDatabase();
  await using relay = await startRelay({ ...env, DATABASE_URL: own.url }, own.url);
  await relay.publishes();
  relay.cli.process.kill('SIGTERM');
  expect(await relay.cli.exit).toBe(0);
  await own.drop();
}
