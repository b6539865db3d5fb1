export { createMetrics, type Metrics } from '../telemetry/metrics.ts';
export { consume } from './consume.ts';
export type { ConsumerDatabase, DrizzleDatabase, PgClient, PgPool, TransactionOf } from './database.ts';
export type { DeliverPolicy } from './durable.ts';
export type { ConsumedEvent } from './event.ts';
export type { ConsumeOptions, Handler, HandlerContext } from './options.ts';
export type { Consumer, StopOptions } from './running.ts';
