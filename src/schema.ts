/** The Drizzle tables of postcommit, for applications that query them or manage their schema with drizzle-kit. */
export { batches } from './batch-log/schema.ts';
export { consumerFailures } from './dead-letters/failures-schema.ts';
export { deadLetters } from './dead-letters/schema.ts';
export { inbox } from './inbox/schema.ts';
export { consumerLeases } from './lease/consumer-leases-schema.ts';
export { lease } from './lease/schema.ts';
export { outbox, parkedUntilSequence, segmentSequence } from './outbox/schema.ts';
export { postcommitSchema } from './postgres/schema-name.ts';
export { requests } from './requests/schema.ts';
