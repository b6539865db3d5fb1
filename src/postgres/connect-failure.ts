import { messageOf } from '../errors.ts';
import { type TlsFailure, tlsFailureOf } from '../tls-failure.ts';
import { serverErrorOf } from './server-error.ts';

/** Why a connection to PostgreSQL failed, and what to do about it. */
export interface ConnectFailure {
  readonly reason: string;
  readonly hint: string;
}

export function connectFailureOf(error: unknown): ConnectFailure {
  const tls = tlsFailureOf(error);
  if (tls !== undefined) return { reason: tls.reason, hint: TLS_HINTS[tls.kind] };
  const reason = messageOf(error);
  return { reason, hint: hintFor(serverErrorOf(error)?.code, reason) };
}

function hintFor(state: string | undefined, reason: string): string {
  const known = KNOWN.find(([pattern]) => pattern.test(reason));
  return known?.[1] ?? BY_STATE[state ?? ''] ?? ANYTHING;
}

/** The server has one SQLSTATE for all that `pg_hba.conf` refuses. */
const KNOWN: readonly (readonly [pattern: RegExp, hint: string])[] = [
  [
    /no encryption$/,
    'Where pg_hba.conf says hostssl, encrypt: add sslmode=verify-full and sslrootcert to DATABASE_URL. Else check user and database.',
  ],
  [
    /valid client certificate/,
    "Add sslcert and sslkey to DATABASE_URL: a certificate of an authority in the server's ssl_ca_file.",
  ],
  [
    /^certificate authentication failed/,
    'The common name of the client certificate must be the role, unless pg_ident.conf maps it.',
  ],
  [
    /does not support SSL/,
    'Switch TLS on at the server (ssl = on). sslmode=disable goes without it, for a network that nobody else can read.',
  ],
];

const BY_STATE: Readonly<Record<string, string>> = {
  '28P01': 'Check user, password and pg_hba.conf of the server.',
  '28000': 'Check user, password and pg_hba.conf of the server.',
  '3D000': 'Create the database, or correct its name in DATABASE_URL.',
};

const ANYTHING = 'Check that the server runs and that DATABASE_URL names the right host, port and TLS mode.';

const TLS_HINTS: Readonly<Record<TlsFailure['kind'], string>> = {
  untrusted: "Set sslrootcert in DATABASE_URL to the authority that signed the server's certificate.",
  misnamed: 'Use a host in DATABASE_URL that the certificate is for, or give the server another certificate.',
  expired: "Renew the server's certificate, and check the clocks of both machines.",
  own: 'Check sslcert and sslkey in DATABASE_URL: two PEM files that belong together.',
  refused:
    "Set sslcert and sslkey in DATABASE_URL to a certificate of an authority in the server's ssl_ca_file.",
  broken: 'Check that DATABASE_URL leads to a PostgreSQL server with TLS, and not to something in between.',
};
