import { sql } from 'drizzle-orm';
import { bigint, index, jsonb, text, timestamp } from 'drizzle-orm/pg-core';
import { postcommitSchema } from '../postgres/schema-name.ts';

/** What an operator asks of the leader: everything that goes to the stream passes its batch log. */
export const requests = postcommitSchema.table(
  'requests',
  {
    id: bigint({ mode: 'number' }).generatedAlwaysAsIdentity().primaryKey(),
    kind: text().$type<'retry' | 'discard' | 'replay' | 'adopt' | 'audit' | 'cancel'>().notNull(),
    detail: jsonb().notNull().default({}),
    requestedBy: text('requested_by').notNull().default(sql`session_user`),
    requestedAt: timestamp('requested_at', { withTimezone: true }).notNull().default(sql`clock_timestamp()`),
    finishedAt: timestamp('finished_at', { withTimezone: true }),
    result: jsonb(),
  },
  (table) => [index('requests_open').on(table.id).where(sql`finished_at is null`)],
);
