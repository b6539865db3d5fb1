/** Every setting by the name that flags and the file use; the same list makes the help of the command line. */
export interface Setting {
  readonly env: string;
  readonly about: string;
  /** Ends the sentence "expected …" of an error. */
  readonly expected: string;
  /** Never shown; as a flag it is only accepted without a password in it, or not at all. */
  readonly secret?: 'url' | 'value';
  /**
   * How its value is read. `text-or-path`: the text itself or the path of a file that holds it.
   * `pem`: the same, but a path stays one, since the TLS layer reads the file itself.
   */
  readonly kind?: 'plain' | 'text-or-path' | 'pem';
  /** Also as `NAME_FILE`, read again at each (re)connect. */
  readonly alsoAsFile?: true;
}

export type SettingKey = keyof typeof SETTINGS;

const connection = { alsoAsFile: true } as const;

export const SETTINGS = {
  databaseUrl: {
    ...connection,
    env: 'DATABASE_URL',
    about: 'PostgreSQL, the primary; best without a transaction pooler in between',
    expected:
      'a URL like postgres://host:5432/database with user and password in it, special characters percent-encoded',
    secret: 'url',
  },
  natsUrl: {
    ...connection,
    env: 'NATS_URL',
    about: 'NATS servers, separated by commas',
    expected: 'nats://host:4222 or tls://host:4222, several separated by commas',
    secret: 'url',
  },
  natsCreds: {
    ...connection,
    env: 'NATS_CREDS',
    about: 'credentials file of NATS',
    expected: 'the path or the text of a .creds file',
    secret: 'value',
    kind: 'text-or-path',
  },
  natsUser: { ...connection, env: 'NATS_USER', about: 'user at NATS', expected: 'a user name' },
  natsPassword: {
    ...connection,
    env: 'NATS_PASSWORD',
    about: 'password at NATS',
    expected: 'a password, together with NATS_USER',
    secret: 'value',
  },
  natsToken: {
    ...connection,
    env: 'NATS_TOKEN',
    about: 'token at NATS',
    expected: 'a token',
    secret: 'value',
  },
  natsNkey: {
    ...connection,
    env: 'NATS_NKEY',
    about: 'nkey seed',
    expected: 'a seed that begins with SU, or the path of a file that holds it',
    secret: 'value',
    kind: 'text-or-path',
  },
  natsCa: {
    ...connection,
    env: 'NATS_CA',
    about: 'certificate authority of the NATS servers',
    expected: 'the path or the text of a PEM file',
    kind: 'pem',
  },
  natsCert: {
    ...connection,
    env: 'NATS_CERT',
    about: 'client certificate for NATS',
    expected: 'the path or the text of a PEM file, together with NATS_KEY',
    kind: 'pem',
  },
  natsKey: {
    ...connection,
    env: 'NATS_KEY',
    about: 'key of the client certificate',
    expected: 'the path or the text of a PEM file, together with NATS_CERT',
    secret: 'value',
    kind: 'pem',
  },
  natsTlsFirst: {
    env: 'NATS_TLS_FIRST',
    about: 'begin with TLS, for servers with handshake_first: true or false (default: false)',
    expected: 'true or false',
  },
  natsInboxPrefix: {
    env: 'NATS_INBOX_PREFIX',
    about: 'what subjects for answers begin with (default: _INBOX)',
    expected: 'a subject without wildcards, for instance _INBOX_relay',
  },
  stream: {
    env: 'POSTCOMMIT_STREAM',
    about: 'stream to publish to (default: postcommit)',
    expected: 'a name without blanks, dots, slashes, wildcards and control characters, at most 255 bytes',
  },
  subjects: {
    env: 'POSTCOMMIT_SUBJECTS',
    about: 'subjects of the stream, separated by commas (default: events.>)',
    expected: 'subjects like events.> or orders.*.created, separated by commas',
  },
  provision: {
    env: 'POSTCOMMIT_PROVISION',
    about: 'create the stream if it is missing: true or false (default: true)',
    expected: 'true or false',
  },
  ordering: {
    env: 'POSTCOMMIT_ORDERING',
    about:
      'order kept in the stream: stream (total, the relay is its only writer), key or none (default: stream)',
    expected: 'stream, key or none',
  },
  deadLetters: {
    env: 'POSTCOMMIT_DEAD_LETTERS',
    about: 'later events of a key whose head can never be stored: skip it or hold them (default: skip)',
    expected: 'skip or hold',
  },
  lanes: {
    env: 'POSTCOMMIT_LANES',
    about: 'several streams, instead of stream, subjects, ordering and dead letters: a list in JSON',
    expected: '[{"stream": "postcommit", "subjects": ["events.>"], "ordering": "stream"}]',
  },
  source: {
    env: 'POSTCOMMIT_SOURCE',
    about: 'name of this database in the messages (default: its name and system identifier)',
    expected: 'printable ASCII without blanks, at most 200 characters',
  },
  cloudEvents: {
    env: 'POSTCOMMIT_CLOUDEVENTS',
    about: 'make each message a CloudEvent as well, by headers: binary or off (default: off)',
    expected: 'binary or off',
  },
  http: {
    env: 'POSTCOMMIT_HTTP',
    about: 'where the console, /metrics, /livez and /readyz are served, or off (default: 127.0.0.1:9465)',
    expected: 'host:port (0.0.0.0:9465 for every interface, port 0 for any free one) or off',
  },
  console: {
    env: 'POSTCOMMIT_CONSOLE',
    about:
      'the web console: on, off, or the names it answers to besides IP addresses and localhost, separated by commas (default: on)',
    expected: 'on, off, or host names like postcommit.example.com, separated by commas',
  },
  consoleToken: {
    ...connection,
    env: 'POSTCOMMIT_CONSOLE_TOKEN',
    about:
      'whoever has it may retry and discard dead letters and see payloads in the console (default: nobody)',
    expected: 'at least 16 characters, for example what `openssl rand -hex 24` prints',
    secret: 'value',
  },
  retention: {
    env: 'POSTCOMMIT_RETENTION',
    about: 'how long stored events stay in the outbox (default: 24h)',
    expected: 'a whole number and one unit of ms, s, m, h, d, for example 24h, from 1s to 3650d',
  },
  logLevel: {
    env: 'LOG_LEVEL',
    about: 'trace, debug, info, warn, error, fatal or silent (default: info)',
    expected: 'trace, debug, info, warn, error, fatal or silent',
  },
} as const satisfies Readonly<Record<string, Setting>>;

export const SETTING_KEYS = Object.keys(SETTINGS) as readonly SettingKey[];

/** All that says how to reach NATS. */
export const NATS_KEYS = SETTING_KEYS.filter((key) => key.startsWith('nats'));

export function settingOf(key: SettingKey): Setting {
  return SETTINGS[key];
}

/** `databaseUrl` -> `--database-url`. */
export function flagOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
