import { SECRET } from '../generated/config-arbitrary.ts';
import { type HostileSetting, settings } from './hostile-setting.ts';

const NO_NAME = /is no name for a stream; expected a name without blanks, dots/;
const NO_ADDRESS = /is no address; expected host:port/;
const NO_POSTGRES = /does not begin with postgres:\/\/ or postgresql:\/\//;
const NO_URL = /is no readable URL; expected a URL like postgres:\/\//;
const NO_HOST = /has a \/ or # in its password, or an @ in its database, that is not percent-encoded/;
const UNREADABLE = /is unusable: a NATS URL cannot be read; expected nats:\/\/host:4222/;
const BEHIND = /is unusable: a NATS URL has something behind its host and port/;

/** Of streams and durables alike. */
export const NAMES: readonly (readonly [about: string, name: unknown, verdict: 'taken' | 'refused'])[] = [
  ['255 bytes', 'x'.repeat(255), 'taken'],
  ['255 bytes in 128 characters', `x${'é'.repeat(127)}`, 'taken'],
  ['another script', '渡辺', 'taken'],
  ['a dollar in front', '$orders', 'taken'],
  ['quotes and a colon', `'"a:b`, 'taken'],
  ['a name of every object', '__proto__', 'taken'],
  ['empty', '', 'refused'],
  ['256 bytes', 'x'.repeat(256), 'refused'],
  ['256 bytes in 128 characters', 'é'.repeat(128), 'refused'],
  ['a dot', 'a.b', 'refused'],
  ['the folder above', '..', 'refused'],
  ['a slash', 'a/b', 'refused'],
  ['a backslash', 'a\\b', 'refused'],
  ['a wildcard', '*', 'refused'],
  ['everything', '>', 'refused'],
  ['a blank', 'two words', 'refused'],
  ['a no-break space, U+00A0', 'a\u00a0b', 'refused'],
  ['a byte order mark, U+FEFF', '\ufeffa', 'refused'],
  ['a line of the protocol', 'a\r\nPUB b 0', 'refused'],
  ['NUL', 'a\u0000', 'refused'],
  ['a C1 control, U+0085', 'a\u0085', 'refused'],
  ['half a surrogate pair', 'a\ud800', 'refused'],
];

const lane = (fields: string) => `[{"stream": "a", "subjects": ["a.>"]${fields}}]`;

export const IDENTIFIERS: readonly HostileSetting[] = [
  ...settings(
    'stream',
    NAMES.map(([about, name, verdict]) => [
      about,
      name,
      verdict === 'taken' ? { lanes: [{ stream: String(name) }] } : NO_NAME,
    ]),
  ),
  ...settings('stream', [['a number', 17, /is not a text; expected a name/]]),
  ...settings('subjects', [
    ['wildcards where they belong', 'a.*, b.>', { lanes: [{ subjects: ['a.*', 'b.>'] }] }],
    ['an empty token', 'a..b', /is unusable: 'a\.\.b' has an empty token/],
    ['a trailing dot', 'a.', /is unusable: 'a\.' has an empty token/],
    ["the server's own", '$JS.>', /is unusable: '\$JS\.>' begins with '\$'/],
    ['everything below in the middle', 'a.>.b', /is unusable: .* the wildcard '>' is not the last token/],
    ['a wildcard as a part of a token', 'a*', /is unusable: .* a wildcard is only a part of the token 'a\*'/],
    ['a blank', 'a b', /is unusable: 'a b' contains a blank or a control character/],
    ['a comma behind', 'a.>,', /is unusable: a subject must not be empty/],
    ['an empty list', [], /is empty; expected subjects like/],
    ['an object', {}, /is no list; expected subjects like/],
  ]),
  ...settings('databaseUrl', [
    [
      'a password percent-encoded',
      'postgres://app:a%40b%2Fc@h/db',
      { databaseUrl: 'postgres://app:a%40b%2Fc@h/db' },
    ],
    ['the folder of a socket', 'postgres://%2Frun/db', { databaseUrl: 'postgres://%2Frun/db' }],
    ['another database', `mysql://app:${SECRET}@h/db`, NO_POSTGRES],
    ["a Java program's", `jdbc:postgresql://app:${SECRET}@h/db`, NO_POSTGRES],
    ['no scheme', `app:${SECRET}@h/db`, NO_POSTGRES],
    ['a blank in front', ` postgres://app:${SECRET}@h/db`, NO_POSTGRES],
    ['a port that is a word', `postgres://app:${SECRET}@h:port/db`, NO_URL],
    ['a port too high', `postgres://app:${SECRET}@h:65536/db`, NO_URL],
    ['a slash in the password', `postgres://app:${SECRET}/a@h/db`, NO_URL],
    ['a number sign in the password', `postgres://app:${SECRET}#a@h/db`, NO_URL],
    [
      'a slash in a password of digits, which makes the user a host',
      `postgres://app:12/${SECRET}@h/db`,
      NO_HOST,
    ],
    ['a number sign in a password of digits', `postgres://app:12#${SECRET}@h/db`, NO_HOST],
  ]),
  ...settings('natsUrl', [
    ['no scheme', 'a', { nats: { servers: ['a'] } }],
    ['an IPv6 address', 'tls://[::1]:4222', { nats: { servers: ['tls://[::1]:4222'] } }],
    ['another protocol', `http://app:${SECRET}@h`, /is unusable: a NATS URL begins with 'http:\/\/'/],
    ['a WebSocket', `wss://app:${SECRET}@h`, /is unusable: a NATS URL begins with 'wss:\/\/'/],
    ['no host', 'nats://', /is unusable: a NATS URL names no host/],
    ['commas alone', ',', /is unusable: no NATS server is given/],
    ['a blank between two', `nats://${SECRET}@a nats://b`, UNREADABLE],
    ['an IPv6 address without brackets', '::1', UNREADABLE],
    ['a port too high', `nats://app:${SECRET}@h:65536`, UNREADABLE],
    ['a slash in the password', `nats://app:${SECRET}/a@h`, UNREADABLE],
    ['a slash in a password of digits, which makes the user a host', `nats://app:12/${SECRET}@h`, BEHIND],
    ['a number sign in a password of digits', `nats://app:12#${SECRET}@h`, BEHIND],
    ['one slash, which makes the scheme a host', 'nats:/h', BEHIND],
    ['the scheme twice', 'nats://nats://h', BEHIND],
    [
      'a password without a user',
      `nats://:${SECRET}@h`,
      /is unusable: a NATS URL has a password without a user/,
    ],
    [
      'no percent-encoding',
      `nats://app:${SECRET}%zz@h`,
      /is unusable: the credentials in a NATS URL cannot be decoded/,
    ],
  ]),
  ...settings('lanes', [
    ['a word', 'orders', /is no list in JSON; expected \[\{"stream"/],
    ['an object', '{"stream": "a", "subjects": ["a.>"]}', /is no list in JSON/],
    ['JSON cut off', '[{"stream": "a"', /is no list in JSON/],
    ['brackets without end', '['.repeat(10_000), /is no list in JSON/],
    ['an empty list', '[]', /is empty; expected/],
    ['null in the list', '[null]', /\[0\].* is no object; expected/],
    ['no subjects', '[{"stream": "a"}]', /\[0\]\.subjects.* is not set; expected/],
    ['no stream', '[{"subjects": ["a.>"]}]', /\[0\]\.stream.* is not set; expected/],
    [
      'a stream that is no name',
      '[{"stream": "a.b", "subjects": ["a.>"]}]',
      /\[0\]\.stream.* is no name for a stream/,
    ],
    ['an ordering in capitals', lane(', "ordering": "KEY"'), /\[0\]\.ordering.* is no ordering/],
    [
      'a key misspelt',
      lane(', "orderin": "key"'),
      /\[0\].* has an unknown key "orderin" \(did you mean "ordering"\?\)/,
    ],
    ['a key called __proto__', lane(', "__proto__": {}'), /\[0\].* has an unknown key "__proto__"/],
    [
      'a stream twice',
      '[{"stream": "a", "subjects": ["a"]}, {"stream": "a", "subjects": ["b"]}]',
      /names a stream twice, which can have one lane only/,
    ],
  ]),
  ...settings('http', [
    ['off', 'off', { http: null }],
    ['any free port of an IPv6 address', '[::1]:0', { http: { host: '::1', port: 0 } }],
    ['the highest port', '0.0.0.0:65535', { http: { host: '0.0.0.0', port: 65_535 } }],
    ['a port too high', '0.0.0.0:65536', NO_ADDRESS],
    ['a port alone', '9465', NO_ADDRESS],
    ['a port behind nothing', ':9465', NO_ADDRESS],
    ['no port', 'localhost', NO_ADDRESS],
    ['a port below zero', 'localhost:-1', NO_ADDRESS],
    ['a URL', 'http://localhost:9465', NO_ADDRESS],
    ['an IPv6 address without brackets', '::1:9465', NO_ADDRESS],
    ['off in capitals', 'OFF', NO_ADDRESS],
    ['NUL', 'a\u0000b:1', NO_ADDRESS],
    ['a number', 9465, /is not a text; expected host:port/],
  ]),
];
