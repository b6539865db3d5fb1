import { postgresIdentity } from '../../src/embedded/identity.ts';
import { type EmbeddedPostgres, startPostgres } from '../../src/embedded/index.ts';
import type { Authority, Certificate } from './certificates.ts';
import { createFileFolder } from './file-folder.ts';
import { query } from './query.ts';

/** A server that takes the superuser `postgres` as it comes, and everybody else by TLS alone. */
export interface TlsPostgres extends AsyncDisposable {
  readonly postgres: EmbeddedPostgres;
  /** `postgres://user@host:port/postgres?parameters`. */
  urlOf(address: {
    readonly user: string;
    readonly host?: string;
    readonly parameters?: Readonly<Record<string, string>>;
  }): string;
  /** Gives the server another certificate, without a restart. */
  use(certificate: Certificate): Promise<void>;
}

/** `app` with the password, and `certified` with a client certificate of the authority whose common name that is. */
const HBA = `host all postgres 127.0.0.1/32 trust
hostssl all app 127.0.0.1/32 scram-sha-256
hostssl all certified 127.0.0.1/32 cert
`;

export async function startTlsPostgres(
  authority: Authority,
  { certificate, password }: { readonly certificate: Certificate; readonly password: string },
): Promise<TlsPostgres> {
  const files = await createFileFolder(await postgresIdentity());
  const put = ({ cert, key }: Certificate) =>
    Promise.all([files.put('server.crt', cert), files.put('server.key', key)]);
  const [certFile, keyFile] = await put(certificate);
  const settings = {
    ssl: 'on',
    ssl_cert_file: certFile,
    ssl_key_file: keyFile,
    ssl_ca_file: await files.put('ca.crt', authority.cert),
    hba_file: await files.put('hba.conf', HBA),
  };
  const postgres = await startPostgres({
    settings,
    binDir: process.env.POSTCOMMIT_TEST_POSTGRES_BIN || undefined,
  });
  const roles = ['app', 'certified'].map((role) => `CREATE ROLE ${role} LOGIN PASSWORD '${password}'`);
  await query(postgres.url, `${roles.join('; ')}; GRANT CREATE ON DATABASE postgres TO app, certified`);
  return {
    postgres,
    urlOf({ user, host = 'localhost', parameters = {} }) {
      const url = new URL(`postgres://${user}@${host}:${postgres.port}/postgres`);
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
      return url.href;
    },
    async use(other) {
      await put(other);
      await query(postgres.url, 'SELECT pg_reload_conf()');
    },
    async [Symbol.asyncDispose]() {
      await postgres[Symbol.asyncDispose]();
      await files[Symbol.asyncDispose]();
    },
  };
}
