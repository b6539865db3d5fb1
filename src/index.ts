export { type ErrorCode, PostcommitError } from './errors.ts';
export type { OutboxEvent } from './event.ts';
export { enqueue } from './outbox/enqueue.ts';
export type {
  DrizzleTransaction,
  KnexTransaction,
  KyselyTransaction,
  PostgresJsTransaction,
  PrismaTransaction,
  QueryHandle,
  TransactionHandle,
} from './postgres/transaction-handle.ts';
