import { sql } from 'drizzle-orm';
import { bigint, jsonb, primaryKey, smallint, text, timestamp, uuid } from 'drizzle-orm/pg-core';
import { bytea } from '../postgres/column-types.ts';
import { postcommitSchema } from '../postgres/schema-name.ts';

/**
 * The outbox: append-only, stored in a ring of leaves (`segment`), see `docs/architecture.md`.
 * Writers insert; the relay reads and, long after, truncates whole leaves. Nothing is updated.
 */
export const outbox = postcommitSchema.table(
  'outbox',
  {
    position: bigint({ mode: 'number' }).generatedAlwaysAsIdentity({ name: 'outbox_position_seq' }).notNull(),
    segment: smallint().notNull().default(sql`pg_sequence_last_value('postcommit.segment'::regclass)`),
    eventId: uuid('event_id').notNull().defaultRandom(),
    subject: text().notNull(),
    key: text(),
    type: text(),
    headers: jsonb().$type<Record<string, string>>().notNull().default({}),
    payload: bytea().notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().default(sql`clock_timestamp()`),
  },
  (table) => [primaryKey({ columns: [table.position, table.segment] })],
);

/** Which leaf new rows go to (0 to 7). */
export const segmentSequence = postcommitSchema.sequence('segment', {
  minValue: 0,
  maxValue: 7,
  startWith: 0,
  cache: 1,
});

/** Until when (epoch seconds) the relay sleeps and wants a NOTIFY; 0 while it is awake. */
export const parkedUntilSequence = postcommitSchema.sequence('parked_until', {
  minValue: 0,
  startWith: 0,
  cache: 1,
});
