import { createInbox } from '@nats-io/transport-node';
import type { BrokerLink } from './connection.ts';

/** A subject for answers, below the prefix that the connection was given: others may be forbidden to listen there. */
export function newInbox({ connection }: BrokerLink): string {
  const { options } = connection as { readonly options?: { readonly inboxPrefix?: string } };
  return createInbox(options?.inboxPrefix);
}
