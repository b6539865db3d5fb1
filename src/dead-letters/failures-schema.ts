import { sql } from 'drizzle-orm';
import { bigint, integer, jsonb, primaryKey, text, timestamp } from 'drizzle-orm/pg-core';
import { postcommitSchema } from '../postgres/schema-name.ts';

/** One failed attempt of a handler. */
export interface FailedAttempt {
  /** ISO 8601. */
  readonly at: string;
  readonly reason: string;
}

/**
 * Events whose handler has failed and may still succeed: written after the attempt was rolled back, removed with the
 * effect or with the dead letter. Deliveries are no measure: an outage uses them up too.
 */
export const consumerFailures = postcommitSchema.table(
  'consumer_failures',
  {
    consumer: text().notNull(),
    eventId: text('event_id').notNull(),
    stream: text().notNull(),
    sequence: bigint({ mode: 'number' }).notNull(),
    attempts: integer().notNull(),
    /** The last of them, oldest first. */
    history: jsonb().$type<readonly FailedAttempt[]>().notNull().default([]),
    firstFailedAt: timestamp('first_failed_at', { withTimezone: true })
      .notNull()
      .default(sql`clock_timestamp()`),
    lastFailedAt: timestamp('last_failed_at', { withTimezone: true })
      .notNull()
      .default(sql`clock_timestamp()`),
  },
  (table) => [primaryKey({ columns: [table.consumer, table.eventId] })],
);
