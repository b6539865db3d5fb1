import type { Check } from './check.ts';
import { clockSkew } from './checks/clocks.ts';
import { consumers } from './checks/consumers.ts';
import { synchronousCommit, synchronousStandby } from './checks/durability.ts';
import { inboxRetention } from './checks/inbox.ts';
import { jetstream, natsConnection, natsVersion } from './checks/nats-server.ts';
import { backlog, outboxSegments } from './checks/outbox.ts';
import { pooler, postgresConnection, postgresPrimary, postgresVersion } from './checks/postgres-server.ts';
import { deadLetters, relayLeader } from './checks/relay.ts';
import { migrations, positionSequence, privileges } from './checks/schema.ts';
import { stream } from './checks/stream.ts';
import { foreignWriters, streamRetention } from './checks/stream-contents.ts';
import { maxPayload, streamDiscard, streamDuplicateWindow, streamLimits } from './checks/stream-limits.ts';
import { streamNoAck, streamReplicas, streamStorage, streamSubjects } from './checks/stream-settings.ts';
import { oldTransactions } from './checks/transactions.ts';
import { listen, notificationQueue } from './checks/wake-up.ts';

/** In the order in which they run: what others rest on comes first. Alerts and scripts rely on the names. */
export const CHECKS: readonly Check[] = [
  postgresConnection,
  postgresPrimary,
  postgresVersion,
  migrations,
  privileges,
  pooler,
  listen,
  synchronousCommit,
  synchronousStandby,
  positionSequence,
  oldTransactions,
  notificationQueue,
  outboxSegments,
  backlog,
  relayLeader,
  deadLetters,
  inboxRetention,
  natsConnection,
  natsVersion,
  jetstream,
  stream,
  streamSubjects,
  streamStorage,
  streamReplicas,
  streamNoAck,
  streamDiscard,
  streamLimits,
  streamDuplicateWindow,
  maxPayload,
  foreignWriters,
  streamRetention,
  consumers,
  clockSkew,
];
