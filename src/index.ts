export {
  type AnyEvent,
  defineEvent,
  type EventDefinition,
  type EventOptions,
  type TypedEvent,
  type WriteOptions,
} from './contracts/define-event.ts';
export { type DataOf, isEvent, type Reading, readEvent } from './contracts/read-event.ts';
export type { InputOf, OutputOf, StandardSchema } from './contracts/standard-schema.ts';
export type { ParametersOf, TokenValue } from './contracts/subject-template.ts';
export { InvalidPayload, type PayloadIssue } from './contracts/validate.ts';
export { type ErrorCode, PostcommitError } from './errors.ts';
export type { OutboxEvent } from './event.ts';
export { enqueue, type NewEvent } from './outbox/enqueue.ts';
export type {
  DrizzleTransaction,
  KnexTransaction,
  KyselyTransaction,
  PostgresJsTransaction,
  PrismaTransaction,
  QueryHandle,
  TransactionHandle,
} from './postgres/transaction-handle.ts';
