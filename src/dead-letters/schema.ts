import { sql } from 'drizzle-orm';
import { bigint, index, integer, jsonb, text, timestamp, uniqueIndex } from 'drizzle-orm/pg-core';
import { bytea } from '../postgres/column-types.ts';
import { postcommitSchema } from '../postgres/schema-name.ts';
import type { FailedAttempt } from './failures-schema.ts';

/**
 * Events set aside: by the relay (`consumer` null, the outbox row keeps the content, `position` names it)
 * or by a consumer (the whole message is kept here).
 */
export const deadLetters = postcommitSchema.table(
  'dead_letters',
  {
    id: bigint({ mode: 'number' }).generatedAlwaysAsIdentity().primaryKey(),
    consumer: text(),
    stream: text().notNull(),
    position: bigint({ mode: 'number' }),
    sequence: bigint({ mode: 'number' }),
    eventId: text('event_id').notNull(),
    subject: text().notNull(),
    key: text(),
    type: text(),
    headers: jsonb().$type<Record<string, string>>().notNull().default({}),
    payload: bytea(),
    /** `marking`: its slot is being filled with a marker; parked once that is stored. */
    state: text()
      .$type<'marking' | 'parked' | 'held' | 'retrying' | 'resolved' | 'discarded'>()
      .notNull()
      .default('parked'),
    reason: text().notNull(),
    attempts: integer().notNull().default(1),
    firstFailedAt: timestamp('first_failed_at', { withTimezone: true })
      .notNull()
      .default(sql`clock_timestamp()`),
    lastFailedAt: timestamp('last_failed_at', { withTimezone: true })
      .notNull()
      .default(sql`clock_timestamp()`),
    /** `held`: nothing is wrong with it, an earlier event of its key is dead. `failed`: a consumer gave up. */
    outcome: text()
      .$type<'refused' | 'misrouted' | 'moved' | 'held' | 'failed'>()
      .notNull()
      .default('refused'),
    /** A consumer's last attempts, oldest first. */
    history: jsonb().$type<readonly FailedAttempt[]>().notNull().default([]),
  },
  (table) => [
    index('dead_letters_state').on(table.state, table.id),
    index('dead_letters_consumer').on(table.consumer, table.state).where(sql`consumer is not null`),
    uniqueIndex('dead_letters_position').on(table.position).where(sql`consumer is null`),
  ],
);
