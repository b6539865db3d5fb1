import { createHash } from 'node:crypto';
import { nkeys } from '@nats-io/nats-core';

type KeyPair = ReturnType<typeof nkeys.createUser>;

/** What `nsc` would make: an operator, one account, and users whose credentials it signs. */
export interface NatsAccounts {
  /** For the server's configuration: it then knows the account, and takes users that the account has signed. */
  readonly config: string;
  /** The text of a credentials file. */
  creds(options?: { readonly name?: string; readonly expiresAt?: Date }): string;
}

export function createNatsAccounts(): NatsAccounts {
  const operator = nkeys.createOperator();
  const [account, system] = [nkeys.createAccount(), nkeys.createAccount()];
  const jwtOf = (subject: KeyPair, nats: object) =>
    signed(operator, { sub: subject.getPublicKey(), name: 'N', nats: { ...nats, version: 2 } });
  const preload = [
    `${account.getPublicKey()}: ${jwtOf(account, { type: 'account', limits: { ...NO_LIMITS, ...JETSTREAM } })}`,
    `${system.getPublicKey()}: ${jwtOf(system, { type: 'account', limits: NO_LIMITS })}`,
  ];
  return {
    config: `operator: ${jwtOf(operator, { type: 'operator' })}
system_account: ${system.getPublicKey()}
resolver: MEMORY
resolver_preload: { ${preload.join(', ')} }
`,
    creds({ name = 'U', expiresAt } = {}) {
      const user = nkeys.createUser();
      const claims = { name, sub: user.getPublicKey(), nats: { ...USER_CLAIMS, type: 'user', version: 2 } };
      const expiry = expiresAt === undefined ? {} : { exp: Math.floor(expiresAt.getTime() / 1_000) };
      const jwt = signed(account, { ...claims, ...expiry });
      return credentialsFile(jwt, new TextDecoder().decode(user.getSeed()));
    },
  };
}

const NO_LIMITS = {
  ...Object.fromEntries(
    ['subs', 'data', 'payload', 'imports', 'exports', 'conn', 'leaf'].map((limit) => [limit, -1]),
  ),
  wildcards: true,
};
/** The system account may have none. */
const JETSTREAM = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
const USER_CLAIMS = { subs: -1, data: -1, payload: -1, pub: {}, sub: {} };

/** Version 2 of NATS' tokens: their id is a digest of the claims without it. */
function signed(issuer: KeyPair, claims: object): string {
  const unnamed = { iat: Math.floor(Date.now() / 1_000), iss: issuer.getPublicKey(), ...claims };
  const jti = base32(createHash('sha512-256').update(JSON.stringify(unnamed)).digest());
  const parts = [
    { typ: 'JWT', alg: 'ed25519-nkey' },
    { ...unnamed, jti },
  ];
  const content = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const signature = Buffer.from(issuer.sign(new TextEncoder().encode(content))).toString('base64url');
  return `${content}.${signature}`;
}

function base32(bytes: Buffer): string {
  const digits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const groups = digits.match(/.{1,5}/g) ?? [];
  return groups
    .map((group) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(group.padEnd(5, '0'), 2)])
    .join('');
}

function credentialsFile(jwt: string, seed: string): string {
  return [
    '-----BEGIN NATS USER JWT-----',
    jwt,
    '------END NATS USER JWT------',
    '',
    '-----BEGIN USER NKEY SEED-----',
    seed,
    '------END USER NKEY SEED------',
    '',
  ].join('\n');
}
