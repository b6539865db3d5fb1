import { sql } from 'drizzle-orm';
import { bigint, index, primaryKey, text, timestamp } from 'drizzle-orm/pg-core';
import { postcommitSchema } from '../postgres/schema-name.ts';

/** One row per consumer and event: written in the transaction of the effect, so that there is one effect. */
export const inbox = postcommitSchema.table(
  'inbox',
  {
    consumer: text().notNull(),
    eventId: text('event_id').notNull(),
    stream: text(),
    sequence: bigint({ mode: 'number' }),
    recordedAt: timestamp('recorded_at', { withTimezone: true }).notNull().default(sql`clock_timestamp()`),
  },
  (table) => [
    primaryKey({ columns: [table.consumer, table.eventId] }),
    index('inbox_sequence').on(table.consumer, table.stream, table.sequence),
  ],
);
