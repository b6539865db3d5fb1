/** Why no TLS connection came about, in words that need no knowledge of OpenSSL. */
export interface TlsFailure {
  /**
   * `untrusted`, `misnamed` and `expired` are about the server's certificate, `own` and `refused` about ours: it cannot be
   * used, or the server does not take it. `broken` is everything else.
   */
  readonly kind: 'untrusted' | 'misnamed' | 'expired' | 'own' | 'refused' | 'broken';
  readonly reason: string;
}

/** Undefined for what is no failure of TLS. Looks below wrappers of client libraries. */
export function tlsFailureOf(thrown: unknown): TlsFailure | undefined {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    const failure = failureOf(error as NodeJS.ErrnoException);
    if (failure !== undefined) return failure;
  }
  return undefined;
}

function failureOf(error: NodeJS.ErrnoException): TlsFailure | undefined {
  const code = String(error.code);
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return misnamed(error as Partial<AltNameError>);
  const said = SAID.get(code);
  if (said !== undefined) return said;
  const alert = /^ERR_SSL_.*ALERT_(.+)$/.exec(code)?.[1];
  if (alert !== undefined && ABOUT_CERTIFICATES.has(alert))
    return { kind: 'refused', reason: `the server does not take the client's certificate (${words(alert)})` };
  if (/^ERR_OSSL_/.test(code)) return { kind: 'own', reason: `${OWN} cannot be read as PEM` };
  const other = alert ?? /^ERR_SSL_(.+)$/.exec(code)?.[1];
  return other === undefined ? undefined : { kind: 'broken', reason: `TLS failed (${words(other)})` };
}

const OWN = 'the client certificate or its key';

const UNTRUSTED = {
  kind: 'untrusted',
  reason: "the server's certificate is signed by no authority that is trusted here",
} as const;

const EXPIRED = { kind: 'expired', reason: "the server's certificate is not valid at this time" } as const;

const SAID = new Map<string, TlsFailure>([
  ['UNABLE_TO_GET_ISSUER_CERT', UNTRUSTED],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', UNTRUSTED],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', UNTRUSTED],
  ['SELF_SIGNED_CERT_IN_CHAIN', UNTRUSTED],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', UNTRUSTED],
  ['CERT_SIGNATURE_FAILURE', UNTRUSTED],
  ['CERT_UNTRUSTED', UNTRUSTED],
  ['CERT_HAS_EXPIRED', EXPIRED],
  ['CERT_NOT_YET_VALID', EXPIRED],
  ['ERR_OSSL_X509_KEY_VALUES_MISMATCH', { kind: 'own', reason: `${OWN} is another one's` }],
]);

const ABOUT_CERTIFICATES = new Set([
  'BAD_CERTIFICATE',
  'UNSUPPORTED_CERTIFICATE',
  'CERTIFICATE_REVOKED',
  'CERTIFICATE_EXPIRED',
  'CERTIFICATE_UNKNOWN',
  'CERTIFICATE_REQUIRED',
  'UNKNOWN_CA',
]);

interface AltNameError {
  readonly host: string;
  readonly cert: { readonly subjectaltname?: string };
}

function misnamed({ host = 'this host', cert }: Partial<AltNameError>): TlsFailure {
  const names = cert?.subjectaltname ?? 'no host at all';
  return { kind: 'misnamed', reason: `the server's certificate is not for ${host}, but for ${names}` };
}

function words(name: string): string {
  return name.toLowerCase().replaceAll('_', ' ');
}
