import { nkeys } from '@nats-io/nats-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import { createAuthority } from '../support/certificates.ts';
import { type Env, runCli } from '../support/cli.ts';
import { createFileFolder, type FileFolder } from '../support/file-folder.ts';
import { createNatsAccounts } from '../support/nats-accounts.ts';
import { createMigratedDatabase, type ScratchDatabase, startNats } from '../support/services.ts';
import { startTlsPostgres, type TlsPostgres } from '../support/tls-postgres.ts';
import { createCanaries } from './canaries.ts';

const canaries = createCanaries();
const authority = createAuthority('our authority');
const pair = authority.issue({ name: 'relay' });

let files: FileFolder;
let database: ScratchDatabase;
let nats: EmbeddedNats;
let postgres: TlsPostgres;
beforeAll(async () => {
  files = await createFileFolder();
  database = await createMigratedDatabase();
  nats = await startNats({ config: 'authorization { user: somebody, password: else }' });
  const certificate = authority.issue({ name: 'server', hosts: ['localhost'] });
  postgres = await startTlsPostgres(authority, {
    certificate,
    password: canaries.plant('the right password'),
  });
});
afterAll(async () => {
  for (const server of [nats, postgres]) await server?.[Symbol.asyncDispose]();
  await database?.drop();
  await files?.[Symbol.asyncDispose]();
});

const seed = () => new TextDecoder().decode(nkeys.createUser().getSeed());
/** The lines of a text that are no frame around it, each a canary. */
function registerLines(name: string, text: string): string {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('-'));
  lines.forEach((line, i) => void canaries.register(`${name}, line ${i + 1}`, line));
  return text;
}

interface Start {
  readonly what: string;
  readonly code: number;
  readonly given: () =>
    | Promise<{ readonly args?: readonly string[]; readonly env?: Env }>
    | { args?: readonly string[]; env?: Env };
}

const { plant, register } = canaries;
const fine = (): Env => ({ DATABASE_URL: database.url, NATS_URL: nats.url });
const tls = () => ({ sslmode: 'verify-full', sslrootcert: `${files.path}/ca` });

const STARTS: readonly Start[] = [
  {
    what: 'a wrong password of PostgreSQL',
    code: 4,
    given: async () => {
      await files.put('ca', authority.cert);
      const user = `app:${plant('a wrong password of PostgreSQL')}`;
      return { env: { ...fine(), DATABASE_URL: postgres.urlOf({ user, parameters: tls() }) } };
    },
  },
  {
    what: 'one with characters that have to be encoded, in a file',
    code: 4,
    given: async () => {
      const password = `${plant('the encoded half')}@/: %${plant('the other half')}`;
      const user = `app:${encodeURIComponent(password)}`;
      const url = postgres.urlOf({ user, parameters: tls() });
      return { env: { NATS_URL: nats.url, DATABASE_URL_FILE: await files.put('url', url) } };
    },
  },
  {
    what: 'passwords in the query of a URL',
    code: 4,
    given: () => {
      const query = `user=app&password=${plant('?password=')}&sslpassword=${plant('&sslpassword=')}`;
      return {
        env: { ...fine(), DATABASE_URL: `${postgres.urlOf({ user: 'x', parameters: tls() })}&${query}` },
      };
    },
  },
  {
    what: 'a URL that is none',
    code: 3,
    given: () => ({ env: { ...fine(), DATABASE_URL: `postgres://u:${plant('in a broken URL')}@h:port/d` } }),
  },
  {
    what: 'a URL whose password is taken for a host',
    code: 3,
    given: () => ({ env: { ...fine(), DATABASE_URL: `postgres://u:12/${plant('behind a slash')}@h/d` } }),
  },
  {
    what: 'a key that is no PEM',
    code: 4,
    given: async () => {
      const text = `-----BEGIN PRIVATE KEY-----\n${plant('no key')}\n-----END PRIVATE KEY-----\n`;
      const parameters = {
        ...tls(),
        sslcert: await files.put('cert', pair.cert),
        sslkey: await files.put('key', text),
      };
      return { env: { ...fine(), DATABASE_URL: postgres.urlOf({ user: 'certified', parameters }) } };
    },
  },
  {
    what: 'a certificate that PostgreSQL does not take',
    code: 4,
    given: async () => {
      const { cert, key } = createAuthority('theirs').issue({ name: 'certified' });
      const parameters = {
        ...tls(),
        sslcert: await files.put('foreign.crt', cert),
        sslkey: await files.put('foreign.key', registerLines('the key of a client certificate', key)),
      };
      return { env: { ...fine(), DATABASE_URL: postgres.urlOf({ user: 'certified', parameters }) } };
    },
  },
  {
    what: 'a wrong password of NATS',
    code: 4,
    given: () => ({ env: { ...fine(), NATS_USER: 'somebody', NATS_PASSWORD: plant('a password of NATS') } }),
  },
  {
    what: 'a wrong token',
    code: 4,
    given: async () => ({ env: { ...fine(), NATS_TOKEN_FILE: await files.put('token', plant('a token')) } }),
  },
  {
    what: 'a wrong password in NATS_URL',
    code: 4,
    given: () => {
      const password = plant('a password in NATS_URL');
      return { env: { ...fine(), NATS_URL: nats.url.replace('//', `//somebody:${password}@`) } };
    },
  },
  {
    what: 'a wrong token in NATS_URL',
    code: 4,
    given: () => ({
      env: { ...fine(), NATS_URL: nats.url.replace('//', `//${plant('a token in NATS_URL')}@`) },
    }),
  },
  {
    what: 'another nkey',
    code: 4,
    given: () => ({ env: { ...fine(), NATS_NKEY: register('an nkey seed', seed()) } }),
  },
  {
    what: 'other creds',
    code: 4,
    given: () => ({ env: { ...fine(), NATS_CREDS: registerLines('creds', createNatsAccounts().creds()) } }),
  },
  {
    what: 'creds that are none',
    code: 3,
    given: () => {
      const text = `-----BEGIN NATS USER JWT-----\n${plant('no creds')}\n------END NATS USER JWT------`;
      return { env: { ...fine(), NATS_CREDS: text } };
    },
  },
  {
    what: 'secrets where paths are expected',
    code: 3,
    given: () => ({
      env: {
        ...fine(),
        NATS_NKEY: plant('an nkey for a path'),
        NATS_TOKEN_FILE: plant('a token for a path'),
        NATS_CERT: pair.cert,
        NATS_KEY: plant('a key for a path'),
      },
    }),
  },
  {
    what: 'the key of another certificate',
    code: 4,
    given: () => ({
      env: {
        ...fine(),
        NATS_URL: `tls://localhost:${nats.port}`,
        NATS_CERT: pair.cert,
        NATS_KEY: registerLines('the key of a client of NATS', pair.key),
      },
    }),
  },
  {
    what: 'secrets in a file of settings that is none',
    code: 3,
    given: async () => ({
      args: ['--config', await files.put('broken.json', `{"natsToken": "${plant('in broken JSON')}"`)],
      env: fine(),
    }),
  },
  {
    what: 'secrets in a file of settings, misspelt and of a wrong kind',
    code: 3,
    given: async () => {
      const settings = {
        natsTokn: plant('misspelt'),
        natsPassword: [plant('in a list')],
        databaseUrl: { url: plant('in an object') },
      };
      return { args: ['--config', await files.put('typo.json', JSON.stringify(settings))], env: {} };
    },
  },
  {
    what: 'secrets as flags',
    code: 3,
    given: () => ({
      args: [
        `--database-url=postgres://u:${plant('in a flag')}@h/d`,
        `--nats-url=nats://${plant('a token in a flag')}@h`,
      ],
    }),
  },
  {
    what: 'flags that there are not',
    code: 2,
    given: () => ({ args: [`--nats-password=${plant('a flag that is none')}'`], env: fine() }),
  },
  {
    what: 'a URL where nothing is expected',
    code: 2,
    given: () => ({ args: [`postgres://app:${plant('an argument too many')}@h/d`], env: fine() }),
  },
];

test.each(STARTS)('$what: the error shows nothing', async ({ given, code: expected }) => {
  const { args = [], env = {} } = await given();
  const { code, stdout, stderr } = await runCli(['relay', ...args], {
    POSTCOMMIT_HTTP: 'off',
    LOG_LEVEL: 'trace', // With causes and stacks.
    ...env,
  });
  expect(stderr).toMatch(/^error: /);
  expect(code).toBe(expected);
  expect(canaries.foundIn(new Map([['output', stdout + stderr]]))).toEqual([]);
});
