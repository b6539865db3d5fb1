import { messageOf } from '../errors.ts';
import { type TlsFailure, tlsFailureOf } from '../tls-failure.ts';

/** Why a connection to NATS failed, and what to do about it. */
export interface ConnectFailure {
  readonly reason: string;
  readonly hint: string;
}

export function connectFailureOf(thrown: unknown): ConnectFailure {
  const tls = tlsFailureOf(thrown);
  if (tls !== undefined) return failureOfTls(tls);
  const said = messageOf(thrown);
  const reason = said.includes('undefined error') ? CLOSED : said;
  const known = KNOWN.find(([pattern]) => pattern.test(reason));
  return {
    reason,
    hint: known?.[1] ?? 'Check that nats-server is running there and that NATS_URL is right.',
  };
}

/** In the client's words: node provided an undefined error. */
export const CLOSED = 'the server closed the connection without a word';

export function failureOfTls({ kind, reason }: TlsFailure): ConnectFailure {
  return { reason, hint: TLS_HINTS[kind] };
}

const KNOWN: readonly (readonly [pattern: RegExp, hint: string])[] = [
  [
    /authori[sz]ation|authentication|permission/i,
    'Check NATS_CREDS, NATS_USER and NATS_PASSWORD, NATS_TOKEN or NATS_NKEY.',
  ],
  [
    /does not support 'tls'/,
    'Switch TLS on at nats-server, or leave out tls:// and NATS_CA for a network that nobody else can read.',
  ],
  [/ doesn't exist$/, 'Check the paths in NATS_CA, NATS_CERT and NATS_KEY.'],
];

const TLS_HINTS: Readonly<Record<TlsFailure['kind'], string>> = {
  untrusted: "Set NATS_CA to the authority that signed the server's certificate.",
  misnamed: 'Use a host in NATS_URL that the certificate is for, or give the server another certificate.',
  expired: "Renew the server's certificate, and check the clocks of both machines.",
  own: 'Check NATS_CERT and NATS_KEY: two PEM files that belong together.',
  refused: "Set NATS_CERT and NATS_KEY to a certificate of an authority in the server's ca_file.",
  broken:
    'Check that NATS_URL leads to a nats-server with TLS. NATS_TLS_FIRST=true is for one with handshake_first, and for no other.',
};
