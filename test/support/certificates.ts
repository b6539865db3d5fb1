import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

/** A certificate and its key, each as PEM text. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateRequest {
  /** The common name; PostgreSQL takes it for the role, nats-server for a part of the user. */
  readonly name: string;
  /** Host names and addresses that a server with it may be reached under. */
  readonly hosts?: readonly string[];
  /** Default: a day from now. */
  readonly expiresAt?: Date;
}

/** A certificate authority of the test's own: no openssl is needed on the machine. */
export interface Authority {
  /** What clients are to trust. */
  readonly cert: string;
  issue(request: CertificateRequest): Certificate;
}

export function createAuthority(name: string): Authority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signedBy = { issuer: name, signingKey: keys.privateKey };
  return {
    cert: certificate({ name, publicKey: keys.publicKey, extensions: [IS_AUTHORITY] }, signedBy),
    issue(request) {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const extensions = request.hosts === undefined ? [] : [alternativeNames(request.hosts)];
      return {
        cert: certificate({ ...request, publicKey, extensions }, signedBy),
        key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
      };
    },
  };
}

interface Subject {
  readonly name: string;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Buffer[];
  readonly expiresAt?: Date;
}

/** RFC 5280, as far as two servers and their clients need it. */
function certificate(
  { name, publicKey, extensions, expiresAt = new Date(Date.now() + DAY_MS) }: Subject,
  { issuer, signingKey }: { readonly issuer: string; readonly signingKey: KeyObject },
): string {
  const content = sequence(
    explicit(0, integer(2)), // Version 3.
    integer(1, ...randomBytes(15)),
    ECDSA_WITH_SHA256,
    distinguishedName(issuer),
    sequence(time(new Date(Math.min(Date.now(), expiresAt.getTime()) - DAY_MS)), time(expiresAt)),
    distinguishedName(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length === 0 ? [] : [explicit(3, sequence(...extensions))]),
  );
  const signature = sign('sha256', content, signingKey);
  const der = sequence(content, ECDSA_WITH_SHA256, bits(signature));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

const DAY_MS = 86_400_000;

function element(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const size = Buffer.from(length.toString(16).padStart(length > 0xff ? 4 : 2, '0'), 'hex');
  return Buffer.concat([Buffer.from([tag, 0x80 | size.length]), size, content]);
}

function sequence(...contents: readonly Buffer[]): Buffer {
  return element(0x30, ...contents);
}

function explicit(number: number, content: Buffer): Buffer {
  return element(0xa0 | number, content);
}

/** The first bit would be the sign, and zeros in front are not allowed. */
function integer(first: number, ...others: readonly number[]): Buffer {
  return element(0x02, Buffer.from([first, ...others]));
}

function bits(content: Buffer): Buffer {
  return element(0x03, Buffer.from([0]), content);
}

/** The bytes behind the first number pair, as RFC 5280 and its like print them. */
function identifier(hex: string): Buffer {
  return element(0x06, Buffer.from(hex, 'hex'));
}

function distinguishedName(name: string): Buffer {
  return sequence(element(0x31, sequence(identifier('550403'), element(0x0c, Buffer.from(name)))));
}

function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/\D/g, '').slice(2, 14);
  return element(0x17, Buffer.from(`${digits}Z`));
}

const ECDSA_WITH_SHA256 = sequence(identifier('2a8648ce3d040302'));

const TRUE = element(0x01, Buffer.from([0xff]));
const IS_AUTHORITY = sequence(identifier('551d13'), TRUE, element(0x04, sequence(TRUE)));

function alternativeNames(hosts: readonly string[]): Buffer {
  const names = hosts.map((host) =>
    isIP(host) === 4
      ? element(0x87, Buffer.from(host.split('.').map(Number)))
      : element(0x82, Buffer.from(host)),
  );
  return sequence(identifier('551d11'), element(0x04, sequence(...names)));
}
