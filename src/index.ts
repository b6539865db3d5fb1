export { type ErrorCode, PostcommitError } from './errors.ts';
export type { OutboxEvent } from './event.ts';
export { enqueue } from './outbox/enqueue.ts';
export type { DrizzleTransaction, QueryHandle, TransactionHandle } from './postgres/transaction-handle.ts';
