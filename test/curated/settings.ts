import { SECRET } from '../generated/config-arbitrary.ts';
import { type HostileSetting, settings } from './hostile-setting.ts';

const NEITHER = /is neither true nor false; expected true or false/;
const NO_ORDERING = /is no ordering; expected stream, key or none/;
const NO_DURATION = /is no duration; expected a whole number and one unit/;
const OUT_OF_RANGE = /is out of range; expected .* from 1s to 3650d/;
const NO_HEADER = /cannot be sent as a header of a message; expected printable ASCII/;
const NO_LEVEL = /is no log level; expected trace, debug/;
const UNREADABLE = /names a file that cannot be read \(there is no such file\)/;

export const SETTING_VALUES: readonly HostileSetting[] = [
  ...settings('provision', [
    ['a word that every text language takes for true', 'false', { provision: false }],
    ['capitals', 'FALSE', NEITHER],
    ['yes', 'yes', NEITHER],
    ['zero', '0', NEITHER],
    ['a blank in front', ' true', NEITHER],
    ['empty', '', NEITHER],
    ['a number', 1, NEITHER],
  ]),
  ...settings('ordering', [
    ['capitals', 'STREAM', NO_ORDERING],
    ['two of them', 'stream,key', NO_ORDERING],
    ['a blank behind', 'none ', NO_ORDERING],
    ['a name of every object', '__proto__', NO_ORDERING],
    ['a boolean', true, /is not a text; expected stream, key or none/],
  ]),
  ...settings('deadLetters', [
    ['capitals', 'SKIP', /is neither skip nor hold; expected skip or hold/],
    ['what would lose events', 'drop', /is neither skip nor hold; expected skip or hold/],
  ]),
  ...settings('retention', [
    ['the shortest', '1s', { retentionMs: 1_000 }],
    ['a millisecond too short', '999ms', OUT_OF_RANGE],
    ['zero', '0s', OUT_OF_RANGE],
    ['the longest', '3650d', { retentionMs: 315_360_000_000 }],
    ['the longest in milliseconds', '315360000000ms', { retentionMs: 315_360_000_000 }],
    ['a day too long', '3651d', OUT_OF_RANGE],
    ['a millisecond too long', '315360000001ms', OUT_OF_RANGE],
    ['beyond whole numbers', '999999999999d', OUT_OF_RANGE],
    ['no unit', '24', NO_DURATION],
    ['a number', 24, /is not a text; expected a whole number and one unit/],
    ['a blank', '24 h', NO_DURATION],
    ['a fraction', '1.5h', NO_DURATION],
    ['a sign', '-1h', NO_DURATION],
    ['an exponent', '1e3s', NO_DURATION],
    ['a capital unit', '1H', NO_DURATION],
    ['two units', '1h30m', NO_DURATION],
    ['digits of another script', '٣h', NO_DURATION],
    ['a line feed behind, where a pattern may end too early', '1h\n', NO_DURATION],
  ]),
  ...settings('logLevel', [
    ['capitals, which many write', 'DEBUG', { logLevel: 'debug' }],
    ['a level of others', 'verbose', NO_LEVEL],
    ['a blank behind', 'info ', NO_LEVEL],
    ['a dotless i', 'ınfo', NO_LEVEL],
    ['a dotted capital I', 'İNFO', NO_LEVEL],
    ['a number of the logger', 30, /is not a text; expected trace, debug/],
  ]),
  ...settings('source', [
    ['200 characters', 'x'.repeat(200), { source: 'x'.repeat(200) }],
    ['201 characters', 'x'.repeat(201), NO_HEADER],
    ['a colon', 'a:b', { source: 'a:b' }],
    ['a blank', 'two words', NO_HEADER],
    ['no ASCII', 'Zürich', NO_HEADER],
    ['a forged header', 'a\r\nNats-Rollup: all', NO_HEADER],
    ['DEL', 'a\u007f', NO_HEADER],
    ['empty', '', NO_HEADER],
  ]),
  ...settings('natsCreds', [
    ['the secret itself where a path was meant', SECRET, UNREADABLE],
    [
      'a text cut off',
      `-----BEGIN NATS USER JWT-----\n${SECRET}`,
      /: the NATS credentials file cannot be used/,
    ],
  ]),
  ...settings('natsNkey', [
    ['the secret itself where a path was meant', SECRET, UNREADABLE],
    [
      'a seed with a letter wrong',
      'SUAMK2FG4MI6UE3ACF3FK3OIQBCEIEZV7NSWFFEW63UXMRLFM2XLAXK4GZ',
      /: the NATS nkey seed cannot be used/,
    ],
  ]),
  ...settings('natsCa', [['a file that is not there', '/nowhere/ca.pem', UNREADABLE]]),
  ...settings('natsToken', [['a list', [SECRET], /is not a text; expected a token/]]),
];
