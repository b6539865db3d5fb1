import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import type { TlsSettings } from '../../src/jetstream/settings.ts';
import { createAuthority } from '../support/certificates.ts';
import { runCli } from '../support/cli.ts';
import { createFileFolder, type FileFolder } from '../support/file-folder.ts';
import { query } from '../support/query.ts';
import { type RelayUnderTest, startRelay } from '../support/relay-under-test.ts';
import { startNats } from '../support/services.ts';
import { startTlsPostgres, type TlsPostgres } from '../support/tls-postgres.ts';
import { type Canaries, createCanaries } from './canaries.ts';
import { BUSINESS, consumeInVain, write } from './mishaps.ts';

// A relay and a consumer go through all that can go wrong, with a secret or a piece of data wherever an error might quote it.
// Then everything that they printed, answered and threw is searched.

test('no secret and no payload comes out anywhere', async () => {
  const canaries = createCanaries();
  const places = new Map<string, string>();
  await using stage = await openStage(canaries);
  const { server, nats, files, databaseUrl } = stage;
  const cli = async (...args: string[]) => {
    const { code, stdout, stderr } = await runCli(args, { DATABASE_URL: databaseUrl, LOG_LEVEL: 'trace' });
    places.set(`postcommit ${args.join(' ')}`, stdout + stderr);
    return code;
  };
  expect(await cli('migrate', '--max-payload', '1200000')).toBe(0);

  await using relay = await stage.startRelay();
  relay.cli.process.stdout?.on('data', (chunk) => append(places, "the relay's log", chunk));
  relay.cli.process.stderr?.on('data', (chunk) => append(places, "the relay's standard error", chunk));
  if (existsSync('/proc/self/cmdline'))
    places.set('the list of processes', readFileSync(`/proc/${relay.cli.process.pid}/cmdline`, 'utf8'));
  const mishaps = { canaries, places, databaseUrl, stream: relay.stream };
  await write(mishaps);
  await relay.publishes();
  await look(relay, places, 'at first');

  await nats.stop();
  await relay.waitsBecause(/NATS: connection refused/);
  await look(relay, places, 'without NATS');
  await files.put('auth.conf', 'authorization { user: relay, password: another }');
  await nats.start();
  await relay.waitsBecause(/NATS: Authorization Violation/);
  await look(relay, places, 'with a wrong password of NATS');
  await files.put('auth.conf', stage.authorization);
  await nats.restart();
  await relay.publishes();

  await stage.changePassword('another');
  await relay.waitsBecause(/password authentication failed/);
  await look(relay, places, 'with a wrong password of PostgreSQL');
  await stage.changePassword();
  await relay.publishes();
  places.set("PostgreSQL's log", readFileSync(await serverLogOf(server), 'utf8'));

  await consumeInVain(mishaps, stage.natsSettings);
  expect(await cli('dead-letters', 'list', '--all')).toBe(0);
  expect(await cli('dead-letters', 'list', '--all', '--json')).toBe(0);
  expect(await cli('dead-letters', 'show', '1')).toBe(0);
  expect(await cli('dead-letters', 'retry', '--outcome', 'refused')).toBe(0);
  expect(await cli('dead-letters', 'discard', '--all')).toBe(0);
  await cli('audit');
  await look(relay, places, 'in the end');
  const seen = new Map([['the console', await lookThroughConsole(relay)]]);
  relay.cli.process.kill('SIGTERM');
  expect(await relay.cli.exit).toBe(0);

  expect(canaries.count).toBeGreaterThanOrEqual(20);
  expect(canaries.foundIn(places)).toEqual([]);
  // The console shows keys and types, and nothing else of an event.
  expect(canaries.foundIn(seen)).toEqual(['a key in the console', 'a type in the console']);
  // All of it has happened, and been said.
  for (const event of ['nats-disconnected', 'nats-unreachable', 'term-failed', 'request-finished', 'stopped'])
    expect(places.get("the relay's log")).toContain(`"event":"${event}"`);
  expect(places.get('postcommit dead-letters list --all')?.split('\n').length).toBeGreaterThan(2 * 9);
});

function append(places: Map<string, string>, place: string, chunk: unknown): void {
  places.set(place, (places.get(place) ?? '') + String(chunk));
}

async function look(relay: RelayUnderTest, places: Map<string, string>, when: string): Promise<void> {
  for (const path of ['/', '/metrics', '/readyz', '/livez'])
    places.set(`${path} ${when}`, (await relay.get(path)).body);
}

/** Without the token, as everybody sees it who reaches the port. */
async function lookThroughConsole(relay: RelayUnderTest): Promise<string> {
  const get = async (path: string) => {
    const { status, body } = await relay.get(path);
    expect({ path, status }).toEqual({ path, status: 200 });
    return body;
  };
  const events = await get('/api/events');
  const { position } = JSON.parse(events).events.at(-1);
  const pages = ['/api/live', '/api/dead-letters?all=1', `/api/event?position=${position}`];
  return [events, ...(await Promise.all(pages.map(get)))].join('\n');
}

async function serverLogOf({ postgres }: TlsPostgres): Promise<string> {
  const [[folder] = []] = await query(postgres.url, 'SHOW data_directory');
  return `${folder}/server.log`;
}

/** Both servers with TLS, and all secrets that it takes to get at them. */
async function openStage(canaries: Canaries) {
  await using starting = new AsyncDisposableStack();
  const files = starting.use(await createFileFolder());
  const password = canaries.plant('the password of PostgreSQL');
  const natsPassword = canaries.plant('the password of NATS');
  const authorization = `authorization { user: relay, password: "${natsPassword}" }`;
  const authority = createAuthority('our authority');
  const pair = authority.issue({ name: 'relay' });
  for (const [i, line] of pair.key.trim().split('\n').slice(1, -1).entries())
    canaries.register(`line ${i + 1} of the key of a client certificate`, line);
  const certificate = authority.issue({ name: 'server', hosts: ['localhost'] });
  const server = starting.use(await startTlsPostgres(authority, { certificate, password }));
  await query(server.postgres.url, `CREATE SCHEMA postcommit AUTHORIZATION app; ${BUSINESS}`);
  const nats = starting.use(
    await startMutualNats(files, { ca: authority.cert, ...certificate, authorization }),
  );
  const parameters = { sslmode: 'verify-full', sslrootcert: `${files.path}/ca` };
  const databaseUrl = server.urlOf({ user: `app:${password}`, parameters });
  const settings = { natsUser: 'relay', natsPassword };
  const tls: TlsSettings = { ca: authority.cert, ...pair };
  const servers = [`tls://localhost:${nats.port}`];
  const env = {
    DATABASE_URL_FILE: await files.put('url', databaseUrl),
    NATS_URL: servers.join(),
    NATS_CA: authority.cert,
    NATS_CERT: pair.cert,
    NATS_KEY: pair.key,
    POSTCOMMIT_CONSOLE_TOKEN: canaries.plant('the token of the console'),
    LOG_LEVEL: 'trace',
  };
  const args = ['--config', await files.put('settings.json', JSON.stringify(settings))];
  const owned = starting.move();
  return {
    server,
    nats,
    files,
    databaseUrl,
    authorization,
    natsSettings: { servers, user: 'relay', password: natsPassword, tls },
    startRelay: () => startRelay(env, server.postgres.url, args),
    /** And everybody has to log in again. */
    async changePassword(other = password) {
      await query(server.postgres.url, `ALTER ROLE app PASSWORD '${other}'`);
      const sessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
      await query(server.postgres.url, sessions);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function startMutualNats(
  files: FileFolder,
  { ca, cert, key, authorization }: { ca: string; cert: string; key: string; authorization: string },
): Promise<EmbeddedNats> {
  await files.put('auth.conf', authorization);
  const paths = {
    ca_file: await files.put('ca', ca),
    cert_file: await files.put('server.crt', cert),
    key_file: await files.put('server.key', key),
  };
  const config = `include ./auth.conf\ntls ${JSON.stringify({ ...paths, verify: true })}`;
  return startNats({ config, dataDir: files.path });
}
