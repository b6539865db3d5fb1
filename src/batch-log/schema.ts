import { sql } from 'drizzle-orm';
import { bigint, index, primaryKey, text, timestamp } from 'drizzle-orm/pg-core';
import { int8multirange } from '../postgres/column-types.ts';
import { postcommitSchema } from '../postgres/schema-name.ts';

/** The write-ahead log of what goes to the stream. A row is immutable; see `docs/architecture.md`. */
export const batches = postcommitSchema.table(
  'batches',
  {
    /** The lane: one stream. */
    stream: text().notNull(),
    /** Creation time of the stream, as the server wrote it. */
    incarnation: text().notNull(),
    /** Rises by one per stream; two leaders planning the same number collide here. */
    batch: bigint({ mode: 'number' }).notNull(),
    epoch: bigint({ mode: 'number' }).notNull(),
    ordering: text().$type<'stream' | 'key' | 'none'>().notNull(),
    kind: text().$type<'new' | 'retry' | 'again' | 'marker' | 'found' | 'replay'>().notNull(),
    firstSequence: bigint('first_sequence', { mode: 'number' }).notNull(),
    lastSequence: bigint('last_sequence', { mode: 'number' }).notNull(),
    /** Highest sequence known to hold our message when this row was planned. */
    settledTo: bigint('settled_to', { mode: 'number' }),
    positions: int8multirange().notNull(),
    /** Read, but left out: dead or held. */
    parked: int8multirange().notNull().default(sql`'{}'::int8multirange`),
    /** Highest position looked at. */
    readTo: bigint('read_to', { mode: 'number' }).notNull(),
    /** Lowest open gap, else `read_to + 1`. */
    openFrom: bigint('open_from', { mode: 'number' }).notNull(),
    plannedAt: timestamp('planned_at', { withTimezone: true }).notNull().default(sql`clock_timestamp()`),
    /**
     * Every row up to this batch number was settled when this row was planned. Written in `key` and `none` ordering,
     * where there are no slots and `settled_to` alone does not say it.
     */
    settledBatch: bigint('settled_batch', { mode: 'number' }),
    /** Of a `replay`: its messages are published under this prefix, a dot, and the subjects of their events. */
    subjectPrefix: text('subject_prefix'),
  },
  (table) => [
    primaryKey({ columns: [table.stream, table.batch] }),
    index('batches_unordered').on(table.stream, table.batch).where(sql`ordering <> 'stream'`),
  ],
);
