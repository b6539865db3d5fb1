import type { NodeConnectionOptions } from '@nats-io/transport-node';
import type { Logger } from '../telemetry/logger.ts';
import { createIdentityCheck, type IdentityCheck } from './server-identity.ts';
import {
  checkCredentials,
  createAuthenticator,
  type NatsSettingsSource,
  parseServers,
  type ServerAddress,
  tlsOptions,
} from './settings.ts';

const PING_INTERVAL_MS = 5_000;

/**
 * What the client of a daemon is to be: reconnecting for ever, with the secrets of that moment. Throws `config-invalid` for
 * settings that cannot work.
 */
export function clientOptions(
  source: NatsSettingsSource,
  { logger, timeoutMs }: { readonly logger: Logger; readonly timeoutMs: number },
): NodeConnectionOptions {
  const settings = typeof source === 'function' ? source() : source;
  const servers = parseServers(settings.servers);
  checkCredentials(settings);
  const tls = tlsOptions(settings);
  return {
    servers: servers.map(({ address }) => address),
    name: settings.name ?? 'postcommit',
    authenticator: createAuthenticator(source, (reason) =>
      logger.warn(
        { event: 'nats-credentials-unreadable', reason },
        'NATS credentials could not be read again',
      ),
    ),
    ...(tls === undefined ? {} : { tls: { ...tls, ...identityOf(source, servers) } }),
    ...(settings.inboxPrefix === undefined ? {} : { inboxPrefix: settings.inboxPrefix }),
    timeout: timeoutMs,
    maxReconnectAttempts: -1,
    waitOnFirstConnect: false,
    reconnectTimeWait: 100,
    reconnectJitter: 400,
    reconnectJitterTLS: 400,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: 2,
    noAsyncTraces: true,
    // Credentials that expire while they are being rotated must not end the connection for ever.
    ignoreAuthErrorAbort: true,
  };
}

/** The client hands on what Node's TLS knows besides, though its types do not say so. */
function identityOf(
  source: NatsSettingsSource,
  atFirst: readonly ServerAddress[],
): { readonly checkServerIdentity: IdentityCheck } {
  const asked = () => {
    try {
      return typeof source === 'function' ? parseServers(source().servers) : atFirst;
    } catch {
      return atFirst; // A file that is being replaced at this moment.
    }
  };
  return { checkServerIdentity: createIdentityCheck(asked) };
}
