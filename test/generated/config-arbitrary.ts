import fc from 'fast-check';
import { SETTING_KEYS, type SettingKey, settingOf } from '../../src/daemon/settings.ts';
import { hostileText, longText, plainText } from './hostile-text.ts';

/** What stands in every secret that is generated, and must stand in no error. */
export const SECRET = 'hunter2';

/** One setting as somebody gave it. */
export interface GivenSetting {
  readonly key: SettingKey;
  readonly through: 'env' | 'flag' | 'file';
  /** The path of a file that holds it, instead of the value. */
  readonly asFile: boolean;
  readonly value: unknown;
}

export interface GeneratedConfig {
  readonly settings: readonly GivenSetting[];
  /** Names that nobody knows. */
  readonly strangers: Readonly<Record<string, string>>;
  /** What the configuration file holds instead of a JSON object. */
  readonly brokenFile: string | undefined;
}

const NKEY = 'SUAMK2FG4MI6UE3ACF3FK3OIQBCEIEZV7NSWFFEW63UXMRLFM2XLAXK4GY';

const secret = fc.tuple(hostileText, hostileText).map(([before, after]) => `${before}${SECRET}${after}`);
const inUrl = fc.oneof(
  fc.constantFrom(SECRET, `${SECRET}%zz`, `p%40${SECRET}`, `${SECRET}@x`, `a:${SECRET}`),
  secret.map((text) => encodeURIComponent(text.toWellFormed())),
  secret.map((text) => text.replaceAll('://', '')),
);

const databaseUrl = fc.oneof(
  fc.constant('postgres://127.0.0.1:1/db'),
  inUrl.map((password) => `postgres://app:${password}@127.0.0.1:1/db`),
  inUrl.map((password) => `postgresql://127.0.0.1/db?user=u&password=${password}`),
  inUrl.map((password) => `mysql://app:${password}@h/db`),
  inUrl.map((password) => `app:${password}@h/db`),
  inUrl.map((password) => `postgres://app:${password}@h:port/db`),
  secret,
);
const natsUrl = fc.oneof(
  fc.constantFrom('nats://127.0.0.1:1', 'a:4222,b', 'tls://a', ' , ', ','),
  inUrl.map((password) => `nats://app:${password}@127.0.0.1:4222`),
  inUrl.map((token) => `nats://a, nats://${token}@b`),
  inUrl.map((password) => `http://u:${password}@h`),
  inUrl.map((password) => `nats://u:${password}@h:port`),
);
const creds = fc.oneof(
  secret.map((text) => `-----BEGIN NATS USER JWT-----\n${text}\n------END NATS USER JWT------`),
  secret,
);

/** Plausible values of each setting; a hostile one is right for none. */
const VALUES: Readonly<Record<SettingKey, fc.Arbitrary<unknown>>> = {
  databaseUrl,
  natsUrl,
  natsCreds: creds,
  natsUser: plainText,
  natsPassword: secret,
  natsToken: secret,
  console: fc.oneof(fc.constantFrom('on', 'off', 'a.example, b', 'a b', ',', '*'), plainText),
  consoleToken: secret,
  natsNkey: fc.oneof(fc.constant(NKEY), secret),
  natsCa: fc.constantFrom('-----BEGIN CERTIFICATE-----', '/nowhere/ca.pem', ''),
  natsCert: fc.constantFrom('-----BEGIN CERTIFICATE-----', '/nowhere/cert.pem'),
  natsKey: fc.constantFrom(`-----BEGIN PRIVATE KEY-----${SECRET}`, `/nowhere/${SECRET}`),
  natsTlsFirst: fc.constantFrom('true', 'false', true, false, 'yes', 1),
  natsInboxPrefix: fc.oneof(plainText, fc.constantFrom('_INBOX_relay', 'a.b', 'a.>', '*', '$JS', '')),
  stream: fc.oneof(plainText, fc.constantFrom('orders', 'a.b', 'a b', '*', '', 'x'.repeat(256))),
  subjects: fc.oneof(
    fc.constantFrom('events.>', 'a.*, b.>', 'a..b', '$JS.>', '>', '*', 'a.>.b', 'a*', ',', ' '),
    fc.array(plainText),
  ),
  provision: fc.constantFrom('true', 'false', true, false, 'yes', 1),
  ordering: fc.constantFrom('stream', 'key', 'none', 'total', 'STREAM', ''),
  deadLetters: fc.constantFrom('skip', 'hold', 'drop'),
  lanes: fc.oneof(
    lanes(),
    lanes().map((list) => JSON.stringify(list)),
    fc.constantFrom('[]', '{}', '[', 'null', '[null]', '[[]]', '['.repeat(5_000)),
  ),
  source: fc.oneof(plainText, fc.constantFrom('shop', 'two words', 'x'.repeat(201))),
  cloudEvents: fc.constantFrom('off', 'binary', 'BINARY', 'structured', 'on', '', true),
  http: fc.constantFrom(
    '127.0.0.1:0',
    'off',
    '[::1]:9465',
    '9465',
    'h:99999',
    'http://h:1',
    '[::]:',
    'a\u0000b:1',
  ),
  retention: fc.oneof(
    fc.constantFrom('24h', '7d', '1500ms', '0s', '9999d', '24 hours', '1.5h', '-1h', 24),
    fc.tuple(fc.nat(), fc.constantFrom('ms', 's', 'm', 'h', 'd', 'y', '')).map((parts) => parts.join('')),
  ),
  logLevel: fc.constantFrom('info', 'DEBUG', 'silent', 'loud', ''),
};

function lanes(): fc.Arbitrary<unknown> {
  const word = (words: string[]) =>
    fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...words) }, hostileText);
  const lane = fc.record(
    {
      stream: word(['a', 'b', 'c', 'd']),
      subjects: fc.array(word(['a.>', 'b.*', 'c']), { maxLength: 3 }),
      ordering: word(['stream', 'key', 'none']),
      deadLetters: word(['skip', 'hold']),
    },
    { requiredKeys: ['stream', 'subjects'] },
  );
  const stranger = fc.jsonValue({ maxDepth: 2 });
  return fc.array(fc.oneof({ weight: 8, arbitrary: lane }, { weight: 1, arbitrary: stranger }), {
    maxLength: 3,
  });
}

/** Of a type that only a JSON file can give. */
const anyJson = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(0, null, [], {}, [null], true));

export interface SecretFiles {
  /** Paths that can be read, and some that cannot. */
  readonly paths: readonly string[];
}

export function generatedConfig({ paths }: SecretFiles): fc.Arbitrary<GeneratedConfig> {
  const setting = fc.constantFrom(...SETTING_KEYS).chain((key) => givenSetting(key, paths));
  const required = fc.tuple(givenSetting('databaseUrl', paths), givenSetting('natsUrl', paths));
  return fc.record({
    settings: fc
      .tuple(required, fc.boolean(), fc.array(setting, { maxLength: 5 }))
      .map(([always, whole, more]) => [...(whole ? SOUND : always), ...more]),
    strangers: fc.oneof(
      { weight: 9, arbitrary: fc.constant({}) },
      { weight: 1, arbitrary: fc.dictionary(strangeName(), plainText, { maxKeys: 2 }) },
    ),
    brokenFile: fc.oneof(
      { weight: 19, arbitrary: fc.constant(undefined) },
      {
        weight: 1,
        arbitrary: fc.oneof(
          secret,
          fc.constantFrom('', '[]', 'null', '"x"', '{"a":', `{"natsToken": "${SECRET}"`),
        ),
      },
    ),
  });
}

/** Without these nothing else would be looked at. */
const SOUND: readonly GivenSetting[] = [
  { key: 'databaseUrl', through: 'env', asFile: false, value: `postgres://u:${SECRET}@127.0.0.1:1/db` },
  { key: 'natsUrl', through: 'env', asFile: false, value: 'nats://127.0.0.1:1' },
];

function givenSetting(key: SettingKey, paths: readonly string[]): fc.Arbitrary<GivenSetting> {
  const setting = settingOf(key);
  const hidden = setting.secret !== undefined;
  const text = fc.oneof(
    { weight: 6, arbitrary: VALUES[key] },
    { weight: 1, arbitrary: hidden ? secret : hostileText },
    { weight: 1, arbitrary: longText(fc.integer({ min: 300, max: 3_000 })) },
    { weight: 1, arbitrary: anyJson },
  );
  const path = fc.oneof(fc.constantFrom(...paths), hostileText);
  return fc
    .record({
      through: fc.constantFrom('env', 'flag', 'file'),
      asFile: setting.alsoAsFile === true ? fc.boolean() : fc.constant(false),
      text,
      path,
    })
    .map(({ through, asFile, text, path }) => {
      const value = asFile ? path : text;
      // The environment and the command line know texts only.
      return {
        key,
        through,
        asFile,
        value: through === 'file' || typeof value === 'string' ? value : JSON.stringify(value),
      };
    });
}

function strangeName(): fc.Arbitrary<string> {
  return fc.oneof(
    fc.constantFrom(
      'POSTCOMMIT_STREM',
      'POSTCOMMIT_',
      'POSTCOMMIT_LANE',
      'POSTCOMMIT_SERVICE_HOST',
      'POSTCOMMIT_PORT',
    ),
    hostileText.map((text) => `POSTCOMMIT_${text}`),
  );
}
