import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadDatabaseConfig, loadRelayConfig } from '../../src/daemon/config.ts';
import type { ConfigSources } from '../../src/daemon/sources.ts';
import { parseDuration } from '../../src/daemon/values.ts';
import { PostcommitError } from '../../src/errors.ts';

const GOOD = { DATABASE_URL: 'postgres://u:p@localhost/db', NATS_URL: 'nats://localhost:4222' };
const SEED = 'SUAMK2FG4MI6UE3ACF3FK3OIQBCEIEZV7NSWFFEW63UXMRLFM2XLAXK4GY';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'postcommit-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

function problemOf(sources: ConfigSources): string {
  try {
    loadRelayConfig(sources);
  } catch (error) {
    expect(error).toBeInstanceOf(PostcommitError);
    expect((error as PostcommitError).code).toBe('config-invalid');
    return (error as PostcommitError).message;
  }
  throw new Error('the configuration was accepted');
}

test('with two addresses everything else has a default', () => {
  const config = loadRelayConfig({ env: GOOD });
  expect(config).toMatchObject({
    lanes: [{ stream: 'postcommit', subjects: ['events.>'], ordering: 'stream', deadLetters: 'skip' }],
    provision: true,
    source: undefined,
    cloudEvents: 'off',
    http: { host: '127.0.0.1', port: 9465 },
    retentionMs: 86_400_000,
    logLevel: 'info',
  });
  expect(config.databaseUrl()).toBe(GOOD.DATABASE_URL);
  expect(config.natsSettings()).toEqual({ servers: ['nats://localhost:4222'] });
});

test('every setting reaches its place', () => {
  const config = loadRelayConfig({
    env: {
      ...GOOD,
      NATS_URL: 'nats://a:4222, tls://b',
      NATS_USER: 'me',
      NATS_PASSWORD: 'pw',
      NATS_CA: '-----BEGIN CERTIFICATE-----',
      NATS_TLS_FIRST: 'true',
      NATS_INBOX_PREFIX: '_INBOX_relay',
      POSTCOMMIT_STREAM: 'orders',
      POSTCOMMIT_SUBJECTS: 'orders.>, returns.*',
      POSTCOMMIT_PROVISION: 'false',
      POSTCOMMIT_ORDERING: 'stream',
      POSTCOMMIT_SOURCE: 'shop',
      POSTCOMMIT_CLOUDEVENTS: 'binary',
      POSTCOMMIT_HTTP: '[::1]:0',
      POSTCOMMIT_RETENTION: '7d',
      LOG_LEVEL: 'DEBUG',
    },
  });
  expect(config).toMatchObject({
    lanes: [
      { stream: 'orders', subjects: ['orders.>', 'returns.*'], ordering: 'stream', deadLetters: 'skip' },
    ],
    provision: false,
    source: 'shop',
    cloudEvents: 'binary',
    http: { host: '::1', port: 0 },
    retentionMs: 604_800_000,
    logLevel: 'debug',
  });
  expect(config.natsSettings()).toEqual({
    servers: ['nats://a:4222', 'tls://b'],
    user: 'me',
    password: 'pw',
    tls: { ca: '-----BEGIN CERTIFICATE-----', first: true },
    inboxPrefix: '_INBOX_relay',
  });
});

test('flags win over the environment, the environment over the file', () => {
  const path = file('all.json', { stream: 'from-file', source: 'from-file', retention: '1h', http: 'off' });
  const config = loadRelayConfig({
    file: path,
    env: { ...GOOD, POSTCOMMIT_STREAM: 'from-env', POSTCOMMIT_SOURCE: 'from-env', POSTCOMMIT_RETENTION: '' },
    flags: { stream: 'from-flag' },
  });
  expect(config.lanes[0]?.stream).toBe('from-flag');
  expect(config).toMatchObject({ source: 'from-env', retentionMs: 3_600_000, http: null });
});

test('the file takes lists and booleans as such', () => {
  const path = file('typed.json', {
    $schema: 'x',
    natsUrl: ['nats://a', 'nats://b'],
    provision: false,
    lanes: [{ stream: 's', subjects: ['a.>'] }],
  });
  const config = loadRelayConfig({ file: path, env: { DATABASE_URL: GOOD.DATABASE_URL } });
  expect(config.natsSettings().servers).toEqual(['nats://a', 'nats://b']);
  expect(config).toMatchObject({ provision: false, lanes: [{ stream: 's', subjects: ['a.>'] }] });
});

test('secrets in files are read again at each call, so that they can be rotated', () => {
  const url = file('url', 'postgres://u:one@localhost/db\n');
  const token = file('token', 'first\n');
  const env = { DATABASE_URL_FILE: url, NATS_URL: 'nats://localhost', NATS_TOKEN_FILE: token };
  const config = loadRelayConfig({ env });
  expect(config.databaseUrl()).toBe('postgres://u:one@localhost/db');
  expect(config.natsSettings().token).toBe('first');
  file('url', 'postgres://u:two@localhost/db\n');
  file('token', 'second');
  expect(config.databaseUrl()).toBe('postgres://u:two@localhost/db');
  expect(config.natsSettings().token).toBe('second');
  rmSync(url);
  expect(() => config.databaseUrl()).toThrow('DATABASE_URL_FILE names a file that cannot be read');
});

test('an nkey is a seed or the path of one, certificates stay paths', () => {
  const seed = file('seed', `${SEED}\n`);
  const pem = file('ca.pem', '-----BEGIN CERTIFICATE-----');
  expect(loadRelayConfig({ env: { ...GOOD, NATS_NKEY: SEED } }).natsSettings().nkeySeed).toBe(SEED);
  expect(loadRelayConfig({ env: { ...GOOD, NATS_NKEY: seed } }).natsSettings().nkeySeed).toBe(SEED);
  expect(loadRelayConfig({ env: { ...GOOD, NATS_CA_FILE: pem } }).natsSettings().tls).toEqual({ ca: pem });
  expect(loadRelayConfig({ env: { ...GOOD, NATS_CA: pem } }).natsSettings().tls).toEqual({ ca: pem });
});

describe('what is wrong is named, with what is expected', () => {
  const cases: [given: Record<string, string>, message: string][] = [
    [{ DATABASE_URL: '' }, 'DATABASE_URL is not set; expected a URL like postgres://'],
    [{ NATS_URL: '' }, 'NATS_URL is not set; expected nats://host:4222'],
    [{ DATABASE_URL: 'mysql://u:hunter2@h/d' }, 'DATABASE_URL does not begin with postgres://'],
    [{ DATABASE_URL: 'localhost' }, 'DATABASE_URL does not begin with postgres://'],
    [{ DATABASE_URL: 'postgres://u:hunter2@h:port/d' }, 'DATABASE_URL is no readable URL'],
    [{ DATABASE_URL: 'postgres://u:12/hunter2@h/d' }, 'DATABASE_URL has a / or # in its password'],
    [{ DATABASE_URL: 'postgres://u:12#hunter2@h/d' }, 'DATABASE_URL has a / or # in its password'],
    [{ NATS_URL: 'http://u:hunter2@h' }, "NATS_URL is unusable: a NATS URL begins with 'http://'"],
    [{ NATS_URL: 'nats://u:hunter2@h:port' }, 'NATS_URL is unusable: a NATS URL cannot be read'],
    [{ NATS_URL: ' , ' }, 'NATS_URL is unusable'],
    [{ NATS_PASSWORD: 'hunter2' }, 'NATS_PASSWORD is set without NATS_USER; expected both'],
    [{ NATS_TOKEN: 'hunter2', NATS_USER: 'u' }, 'NATS_TOKEN and NATS_USER are all set; expected one way'],
    [{ NATS_TOKEN: 'hunter2', NATS_TOKEN_FILE: '/x' }, 'NATS_TOKEN and NATS_TOKEN_FILE are both set'],
    [{ NATS_CERT: '-----BEGIN X' }, 'NATS_CERT is set without NATS_KEY; expected both'],
    [{ NATS_KEY: '-----BEGIN hunter2' }, 'NATS_KEY is set without NATS_CERT; expected both'],
    [{ NATS_CREDS: 'hunter2' }, 'NATS_CREDS names a file that cannot be read (there is no such file)'],
    [{ NATS_CREDS: '-----BEGIN hunter2' }, 'NATS_CREDS: the NATS credentials file cannot be used'],
    [{ NATS_NKEY: 'hunter2' }, 'NATS_NKEY names a file that cannot be read'],
    [{ NATS_CA_FILE: '/nowhere/ca.pem' }, 'NATS_CA_FILE names a file that cannot be read'],
    [
      { POSTCOMMIT_STREAM: 'a.b' },
      'POSTCOMMIT_STREAM ("a.b") is no name for a stream; expected a name without',
    ],
    [
      { POSTCOMMIT_SUBJECTS: 'a..b' },
      'POSTCOMMIT_SUBJECTS ("a..b") is unusable: \'a..b\' has an empty token',
    ],
    [{ POSTCOMMIT_SUBJECTS: '$JS.>' }, "begins with '$'"],
    [{ POSTCOMMIT_SUBJECTS: 'a.>.b' }, "wildcard '>' is not the last token"],
    [{ NATS_TLS_FIRST: 'first' }, 'NATS_TLS_FIRST ("first") is neither true nor false'],
    [{ NATS_INBOX_PREFIX: '_INBOX.>' }, 'NATS_INBOX_PREFIX ("_INBOX.>") is no subject; expected a subject'],
    [{ POSTCOMMIT_PROVISION: 'yes' }, 'POSTCOMMIT_PROVISION ("yes") is neither true nor false'],
    [
      { POSTCOMMIT_ORDERING: 'total' },
      'POSTCOMMIT_ORDERING ("total") is no ordering; expected stream, key or none',
    ],
    [{ POSTCOMMIT_DEAD_LETTERS: 'drop' }, 'POSTCOMMIT_DEAD_LETTERS ("drop") is neither skip nor hold'],
    [{ POSTCOMMIT_LANES: 'orders' }, 'POSTCOMMIT_LANES ("orders") is no list in JSON; expected [{"stream"'],
    [{ POSTCOMMIT_LANES: '[]' }, 'POSTCOMMIT_LANES ("[]") is empty'],
    [
      { POSTCOMMIT_LANES: '[{"stream":"a","subjects":["a"]},{"stream":"a","subjects":["b"]}]' },
      'names a stream twice',
    ],
    [{ POSTCOMMIT_LANES: '[{"stream":"a"}]' }, 'POSTCOMMIT_LANES[0].subjects'],
    [
      { POSTCOMMIT_LANES: '[{"stream":"a","subject":["a"],"subjects":["a"]}]' },
      'has an unknown key "subject" (did you mean "subjects"?)',
    ],
    [
      { POSTCOMMIT_LANES: '[{"stream":"a","subjects":["a"],"ordering":"total"}]' },
      'POSTCOMMIT_LANES[0].ordering',
    ],
    [
      { POSTCOMMIT_LANES: '[{"stream":"a","subjects":["a"]}]', POSTCOMMIT_STREAM: 'a' },
      'POSTCOMMIT_LANES is set beside POSTCOMMIT_STREAM',
    ],
    [{ POSTCOMMIT_SOURCE: 'two words' }, 'POSTCOMMIT_SOURCE ("two words") cannot be sent as a header'],
    [
      { POSTCOMMIT_CLOUDEVENTS: 'structured' },
      'POSTCOMMIT_CLOUDEVENTS ("structured") is neither binary nor off; expected binary or off',
    ],
    [{ POSTCOMMIT_HTTP: '9465' }, 'POSTCOMMIT_HTTP ("9465") is no address; expected host:port'],
    [{ POSTCOMMIT_HTTP: 'localhost:99999' }, 'POSTCOMMIT_HTTP ("localhost:99999") is no address'],
    [{ POSTCOMMIT_HTTP: 'http://localhost:1' }, 'is no address'],
    [
      { POSTCOMMIT_RETENTION: '24 hours' },
      'POSTCOMMIT_RETENTION ("24 hours") is no duration; expected a whole',
    ],
    [{ POSTCOMMIT_RETENTION: '1.5h' }, 'is no duration'],
    [{ POSTCOMMIT_RETENTION: '0s' }, 'POSTCOMMIT_RETENTION ("0s") is out of range'],
    [{ POSTCOMMIT_RETENTION: '9999d' }, 'is out of range'],
    [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL ("loud") is no log level; expected trace, debug'],
    [
      { POSTCOMMIT_STREM: 'x' },
      'POSTCOMMIT_STREM is no setting of postcommit; did you mean POSTCOMMIT_STREAM?',
    ],
    [{ POSTCOMMIT_COLOUR_OF_THE_SKY: 'x' }, 'POSTCOMMIT_COLOUR_OF_THE_SKY is no setting of postcommit'],
  ];
  test.each(cases)('%j', (given, message) => {
    const problem = problemOf({ env: { ...GOOD, ...given } });
    expect(problem).toContain(message);
    expect(problem).not.toContain('hunter2');
  });
});

test('all problems come at once', () => {
  const env = {
    POSTCOMMIT_RETENTION: 'x',
    POSTCOMMIT_ORDERING: 'total',
    POSTCOMMIT_LANE: '[]',
    LOG_LEVEL: 'x',
  };
  const problem = problemOf({ env });
  expect(problem).toContain('has 6 problems');
  for (const name of ['DATABASE_URL', 'NATS_URL', 'RETENTION', 'ORDERING', 'POSTCOMMIT_LANE ', 'LOG_LEVEL'])
    expect(problem).toContain(name);
});

test('a flag is refused when it shows credentials to the whole machine', () => {
  const shown = { databaseUrl: 'postgres://u:hunter2@h/d', natsUrl: 'nats://hunter2@h' };
  const problem = problemOf({ env: {}, flags: shown });
  expect(problem).toContain('--database-url holds credentials');
  expect(problem).toContain('--nats-url holds credentials');
  expect(problem).not.toContain('hunter2');
  const fine = { databaseUrl: 'postgres://u@h:5432/d', natsUrl: 'nats://h' };
  expect(loadRelayConfig({ env: {}, flags: fine }).databaseUrl()).toBe(fine.databaseUrl);
});

test('a file that is missing, no JSON, or has unknown keys is refused without quoting it', () => {
  expect(problemOf({ env: GOOD, file: join(folder, 'none.json') })).toContain('cannot be read');
  expect(problemOf({ env: GOOD, file: file('bad.json', '{"natsToken": "hunter2"') })).toMatch(
    /^(?!.*hunter2).*is not a JSON object/,
  );
  const typo = problemOf({ env: GOOD, file: file('typo.json', { natsTokn: 'hunter2', streams: 'a' }) });
  expect(typo).toContain('did you mean natsToken?');
  expect(typo).toContain('did you mean stream?');
  expect(typo).not.toContain('hunter2');
  expect(problemOf({ env: GOOD, file: file('type.json', { retention: 24 }) })).toContain('is not a text');
});

test('what a terminal would obey is written out, not obeyed', () => {
  const problem = problemOf({
    env: { ...GOOD, 'POSTCOMMIT_\u001b[2J': 'x', POSTCOMMIT_SUBJECTS: 'a\u0007b' },
  });
  expect(problem).toContain('POSTCOMMIT_\\u001b[2J is no setting');
  expect(problem.replaceAll('\n  - ', '')).not.toMatch(/\p{Cc}/u);
});

test('a host with a control character is no address, where listening would throw', () => {
  const path = file('http.json', { http: 'a\u0000b:1' });
  expect(problemOf({ env: GOOD, file: path })).toContain('is no address; expected host:port');
});

test('an unreadable secret file says so', () => {
  const path = file('locked', 'hunter2');
  chmodSync(path, 0);
  if (process.getuid?.() === 0) return;
  expect(problemOf({ env: { ...GOOD, NATS_TOKEN_FILE: path } })).toContain('permission denied');
});

test("Kubernetes' variables for a service called postcommit are not ours to judge", () => {
  const env = {
    ...GOOD,
    POSTCOMMIT_SERVICE_HOST: '10.0.0.1',
    POSTCOMMIT_SERVICE_PORT: '9465',
    POSTCOMMIT_SERVICE_PORT_HTTP: '9465',
    POSTCOMMIT_PORT: 'tcp://10.0.0.1:9465',
    POSTCOMMIT_PORT_9465_TCP: 'tcp://10.0.0.1:9465',
    POSTCOMMIT_PORT_9465_TCP_ADDR: '10.0.0.1',
    POSTCOMMIT_TEST_BACKEND: 'embedded',
  };
  expect(loadRelayConfig({ env }).lanes).toHaveLength(1);
});

test('what only a relay needs does not keep other commands from working', () => {
  const env = { DATABASE_URL: GOOD.DATABASE_URL, POSTCOMMIT_RETENTION: 'x' };
  expect(loadDatabaseConfig({ env }).databaseUrl()).toBe(GOOD.DATABASE_URL);
});

const MS_OF: Record<string, number> = { ms: 1, s: 1e3, m: 60e3, h: 3_600e3, d: 86_400e3 };

test('durations: every whole number with a unit is read exactly', () => {
  const duration = fc.tuple(fc.nat({ max: 999_999_999_999 }), fc.constantFrom(...Object.keys(MS_OF)));
  fc.assert(
    fc.property(duration, ([count, unit]) => {
      expect(parseDuration(`${count}${unit}`)).toBe(count * (MS_OF[unit] ?? Number.NaN));
    }),
  );
});

test('durations: nothing else is one', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      fc.pre(!/^\d{1,12}(ms|s|m|h|d)$/.test(text));
      expect(parseDuration(text)).toBeUndefined();
    }),
  );
  for (const text of ['', '24', 'h', '-1h', '+1h', '1.5h', '1h30m', ' 1h', '1h ', '1H', '1e3s', '1h\n', '٣h'])
    expect(parseDuration(text)).toBeUndefined();
});
