import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from '../telemetry/logger.ts';
import { type BrokerLink, connectBroker, linkTo } from './connection.ts';
import type { NatsSettingsSource } from './settings.ts';

/**
 * A URL (or several, comma-separated), settings, a function that is asked for them at each (re)connect, or a connection of
 * the caller's, which stays the caller's to close.
 */
export type NatsTarget = string | NatsSettingsSource | NatsConnection | BrokerLink;

export interface BorrowedLink {
  readonly link: BrokerLink;
  /** Closes what was opened here; a connection of the caller stays open. */
  release(): Promise<void>;
}

/** @throws PostcommitError `broker-unreachable` or `config-invalid` */
export async function borrowLink(nats: NatsTarget, logger: Logger): Promise<BorrowedLink> {
  if (typeof nats !== 'string' && 'waitConnected' in nats) return { link: nats, release: nothing };
  if (typeof nats !== 'string' && isConnection(nats))
    return { link: linkTo(nats, { logger }), release: nothing };
  const source = typeof nats === 'string' ? { servers: nats.split(',') } : nats;
  const link = await connectBroker(source, { logger });
  return { link, release: () => link.close() };
}

function isConnection(nats: object): nats is NatsConnection {
  return 'getServer' in nats;
}

async function nothing(): Promise<void> {}
