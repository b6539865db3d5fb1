import { SECRET } from '../generated/config-arbitrary.ts';
import { type HostileCombination, SOUND } from './hostile-setting.ts';

const LANES = '[{"stream": "a", "subjects": ["a.>"]}]';

export const COMBINATIONS: readonly HostileCombination[] = [
  {
    about: 'empty variables, as a compose file writes what is not set',
    env: { POSTCOMMIT_STREAM: '', NATS_TOKEN: '', POSTCOMMIT_LANES: '' },
    verdict: { lanes: [{ stream: 'postcommit' }] },
  },
  { about: 'null in the file', file: '{"stream": null}', verdict: { lanes: [{ stream: 'postcommit' }] } },
  {
    about: 'flag, variable and file at odds',
    flags: { stream: 'flag' },
    env: { POSTCOMMIT_STREAM: 'variable' },
    file: '{"stream": "file"}',
    verdict: { lanes: [{ stream: 'flag' }] },
  },
  {
    about: 'a password with blanks around',
    env: { NATS_USER: 'app', NATS_PASSWORD: ` ${SECRET} ` },
    verdict: { nats: { user: 'app', password: ` ${SECRET} ` } },
  },
  {
    about: 'a variable that Kubernetes sets',
    env: { POSTCOMMIT_PORT: 'tcp://10.0.0.1:9465' },
    verdict: { lanes: [{ stream: 'postcommit' }] },
  },
  {
    about: 'a variable misspelt',
    env: { POSTCOMMIT_STREM: 'a' },
    verdict: /POSTCOMMIT_STREM is no setting of postcommit; did you mean POSTCOMMIT_STREAM\?/,
  },
  { about: 'a variable without a name', env: { POSTCOMMIT_: SECRET }, verdict: /POSTCOMMIT_ is no setting/ },
  {
    about: 'a variable that a terminal would obey',
    env: { 'POSTCOMMIT_\u001b[2J': 'a' },
    verdict: /POSTCOMMIT_\\u001b\[2J is no setting of postcommit/,
  },
  {
    about: 'a key of the file in capitals',
    file: '{"Stream": "a"}',
    verdict: /Stream in \S+ is no setting of postcommit; did you mean stream\?/,
  },
  {
    about: 'a key of the file called __proto__',
    file: '{"__proto__": {"stream": "a"}}',
    verdict: /__proto__ in \S+ is no setting of postcommit/,
  },
  { about: 'a file with a list', file: '[]', verdict: /--config \S+ is not a JSON object/ },
  { about: 'an empty file', file: '', verdict: /--config \S+ is not a JSON object/ },
  {
    about: 'a file cut off behind a secret',
    file: `{"natsToken": "${SECRET}"`,
    verdict: /--config \S+ is not a JSON object/,
  },
  {
    about: 'two ways to log in',
    env: { NATS_TOKEN: SECRET, NATS_USER: 'app' },
    verdict: /NATS_TOKEN and NATS_USER are all set; expected one way to log in/,
  },
  {
    about: 'a password without a user',
    env: { NATS_PASSWORD: SECRET },
    verdict: /NATS_PASSWORD is set without NATS_USER; expected both/,
  },
  {
    about: 'a secret and its file',
    env: { NATS_TOKEN: SECRET, NATS_TOKEN_FILE: '/nowhere' },
    verdict: /NATS_TOKEN and NATS_TOKEN_FILE are both set; expected one of them/,
  },
  {
    about: 'a folder for the file of a secret',
    env: { NATS_TOKEN_FILE: '/' },
    verdict: /NATS_TOKEN_FILE names a file that cannot be read \(EISDIR\)/,
  },
  {
    about: 'a key without its certificate',
    env: { NATS_KEY: `-----BEGIN PRIVATE KEY-----${SECRET}` },
    verdict: /NATS_KEY is set without NATS_CERT; expected both/,
  },
  {
    about: 'a password in a flag, for everyone to see',
    flags: { databaseUrl: SOUND.DATABASE_URL },
    verdict: /--database-url holds credentials, which everyone on this machine can read/,
  },
  {
    about: 'a password in the query of a flag',
    flags: { databaseUrl: `postgres://127.0.0.1/db?password=${SECRET}` },
    verdict: /--database-url holds credentials/,
  },
  {
    about: 'a token in a flag',
    flags: { natsUrl: `nats://${SECRET}@127.0.0.1` },
    verdict: /--nats-url holds credentials/,
  },
  {
    about: 'lanes beside a stream',
    env: { POSTCOMMIT_LANES: LANES, POSTCOMMIT_STREAM: 'a' },
    verdict: /POSTCOMMIT_LANES is set beside POSTCOMMIT_STREAM; expected one or the other/,
  },
  {
    about: 'several problems, all told at once',
    env: { POSTCOMMIT_ORDERING: 'a', POSTCOMMIT_RETENTION: 'b', LOG_LEVEL: 'c' },
    verdict: /has 3 problems:\n.*LOG_LEVEL.*\n.*POSTCOMMIT_ORDERING.*\n.*POSTCOMMIT_RETENTION/,
  },
];
