export { type CloudEvent, type ConsumedEvent, cloudEventOf, type DeliverPolicy } from '../jetstream/index.ts';
export type { Clock } from '../lifecycle/clock.ts';
export { createMetrics, type Metrics } from '../telemetry/metrics.ts';
export { consume, consumeBatches } from './consume.ts';
export type { ConsumerDatabase, DrizzleDatabase, PgClient, PgPool, TransactionOf } from './database.ts';
export { Reject, Retry } from './errors.ts';
export type { Role } from './lead/campaign.ts';
export type { BatchHandler, ConsumeOptions, ConsumerOrder, Handler, HandlerContext } from './options.ts';
export {
  type EventHandler,
  on,
  type ReadEvent,
  type Route,
  type RouteOptions,
  readAs,
  route,
} from './routes.ts';
export type { Consumer, StopOptions } from './running.ts';
