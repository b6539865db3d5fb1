/** PostgreSQL and NATS as child processes of this one, for tests, demos and development. */
export { type DevServices, startDevServices } from './dev.ts';
export { findNatsServer, type NatsServerBinary } from './find-nats-server.ts';
export { findPostgres, type PostgresBinaries } from './find-postgres.ts';
export { freePort } from './free-port.ts';
export { ensureNatsServer } from './install-nats-server.ts';
export {
  type NatsCluster,
  type NatsClusterOptions,
  startNatsCluster,
  type WaitOptions,
} from './nats-cluster.ts';
export type { NatsNode } from './nats-node.ts';
export { type EmbeddedNats, type NatsOptions, startNats } from './nats-server.ts';
export {
  type EmbeddedPostgres,
  type PostgresOptions,
  type PostgresStopMode,
  startPostgres,
} from './postgres.ts';
