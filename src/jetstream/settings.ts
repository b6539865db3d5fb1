import {
  type Authenticator,
  credsAuthenticator,
  type NodeConnectionOptions,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from '@nats-io/transport-node';
import { PostcommitError } from '../errors.ts';

/** How to reach NATS. Secrets are the values themselves, read from their files by the caller. */
export interface NatsSettings {
  /** `nats://[user:password@]host[:port]`, `tls://…` (which insists on TLS) or plain `host[:port]`. */
  readonly servers: readonly string[];
  /** Shown in the server's connection list. Default `postcommit`. */
  readonly name?: string;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  readonly nkeySeed?: string;
  /** The text of a credentials file. */
  readonly creds?: string;
  readonly tls?: TlsSettings;
  /** What subjects for answers begin with. Default `_INBOX`; with one of its own a user needs no right to others' answers. */
  readonly inboxPrefix?: string;
}

/** Certificates and key are PEM text or the path of a PEM file; a file is read again at each (re)connect. */
export interface TlsSettings {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Begin with TLS instead of waiting for the server's greeting: its `handshake_first`. Default false. */
  readonly first?: boolean;
}

/** A function is asked again at each (re)connect, so that rotated secrets are taken up. */
export type NatsSettingsSource = NatsSettings | (() => NatsSettings);

export interface ServerAddress {
  /** `host:port`, without credentials: fit for logs. */
  readonly address: string;
  /** Without the brackets of an IPv6 address. */
  readonly host: string;
  readonly port: number;
  readonly insistsOnTls: boolean;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

/** Takes server URLs apart; throws `config-invalid`, in words that hold no credentials, for what is none. */
export function parseServers(servers: readonly string[]): ServerAddress[] {
  const given = servers.map((text) => text.trim()).filter((text) => text !== '');
  if (given.length === 0)
    throw invalid('no NATS server is given', 'Set NATS_URL, for instance nats://127.0.0.1:4222.');
  return given.map(parseServer);
}

function parseServer(text: string): ServerAddress {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== 'nats' && scheme !== 'tls')
    throw invalid(
      `a NATS URL begins with '${scheme}://'`,
      'Use nats://host:port, or tls://host:port for TLS.',
    );
  let url: URL;
  try {
    // A scheme that is not special to URL keeps every port and needs no path.
    url = new URL(scheme === undefined ? `nats://${text}` : text);
  } catch {
    throw invalid(
      'a NATS URL cannot be read',
      'Use nats://host:port; percent-encode special characters in passwords.',
    );
  }
  if (url.hostname === '') throw invalid('a NATS URL names no host', 'Use nats://host:port.');
  // `nats:/host` is read as a host called nats, and of `user:12/34@host` the user as the host.
  if (!['', '/'].includes(url.pathname) || url.search !== '' || url.hash !== '')
    throw invalid(
      'a NATS URL has something behind its host and port',
      'Use nats://host:port; percent-encode special characters in passwords.',
    );
  return {
    address: `${url.hostname}:${url.port || '4222'}`,
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || '4222'),
    insistsOnTls: scheme === 'tls',
    ...userInfo(url),
  };
}

function userInfo(url: URL): { user?: string; password?: string; token?: string } {
  if (url.username === '') {
    if (url.password === '') return {};
    throw invalid('a NATS URL has a password without a user', 'Use nats://user:password@host:port.');
  }
  try {
    const user = decodeURIComponent(url.username);
    return url.password === '' ? { token: user } : { user, password: decodeURIComponent(url.password) };
  } catch {
    throw invalid(
      'the credentials in a NATS URL cannot be decoded',
      'Percent-encode special characters in them.',
    );
  }
}

/**
 * Answers each server's challenge with the settings of that moment. A source that fails later (a secret file in
 * the midst of being replaced) falls back to the last settings that worked: the client would end for ever.
 */
export function createAuthenticator(
  source: NatsSettingsSource,
  onFailure: (reason: string) => void,
): Authenticator {
  const read = () => (typeof source === 'function' ? source() : source);
  let last: Authenticator | undefined;
  return (nonce) => {
    try {
      const fresh = authenticatorOf(read());
      const answer = fresh?.(nonce);
      last = fresh;
      return answer;
    } catch (thrown) {
      onFailure(thrown instanceof PostcommitError ? thrown.message : 'the NATS credentials cannot be used');
      return last?.(nonce);
    }
  };
}

/** Throws `config-invalid` for credentials that cannot be used, before anything is dialled. */
export function checkCredentials(settings: NatsSettings): void {
  try {
    authenticatorOf(settings)?.('a nonce');
  } catch (thrown) {
    if (thrown instanceof PostcommitError) throw thrown;
    throw invalid(
      `the NATS ${settings.creds === undefined ? 'nkey seed' : 'credentials file'} cannot be used`,
      'Give the text of a .creds file as issued by nsc, or a seed that begins with SU.',
    );
  }
}

function authenticatorOf(settings: NatsSettings): Authenticator | undefined {
  const encoder = new TextEncoder();
  // The client recognises the last line of a credentials file by its end.
  if (settings.creds !== undefined) return credsAuthenticator(encoder.encode(`${settings.creds.trim()}\n`));
  if (settings.nkeySeed !== undefined) return nkeyAuthenticator(encoder.encode(settings.nkeySeed.trim()));
  if (settings.token !== undefined) return tokenAuthenticator(settings.token);
  if (settings.user !== undefined)
    return usernamePasswordAuthenticator(settings.user, settings.password ?? '');
  const inUrl = parseServers(settings.servers).find((server) => server.user ?? server.token);
  if (inUrl?.token !== undefined) return tokenAuthenticator(inUrl.token);
  if (inUrl?.user !== undefined) return usernamePasswordAuthenticator(inUrl.user, inUrl.password ?? '');
  return undefined;
}

/** The client's TLS options; undefined leaves it to the server to ask for TLS. */
export function tlsOptions(settings: NatsSettings): NodeConnectionOptions['tls'] | undefined {
  const { ca, cert, key, first = false } = settings.tls ?? {};
  const insists = parseServers(settings.servers).some((server) => server.insistsOnTls);
  if (!insists && !first && ca === undefined && cert === undefined && key === undefined) return undefined;
  if ((cert === undefined) !== (key === undefined))
    throw invalid('a TLS client certificate needs both NATS_CERT and NATS_KEY', 'Give both, or neither.');
  return {
    ...(first ? { handshakeFirst: true } : {}),
    ...(ca === undefined ? {} : isPem(ca) ? { ca } : { caFile: ca }),
    ...(cert === undefined ? {} : isPem(cert) ? { cert } : { certFile: cert }),
    ...(key === undefined ? {} : isPem(key) ? { key } : { keyFile: key }),
  };
}

export function isPem(text: string): boolean {
  return text.includes('-----BEGIN ');
}

function invalid(message: string, hint: string): PostcommitError {
  return new PostcommitError('config-invalid', message, hint);
}
