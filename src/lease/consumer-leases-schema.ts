import { bigint, text, timestamp } from 'drizzle-orm/pg-core';
import { postcommitSchema } from '../postgres/schema-name.ts';

/** One row per consumer (`<stream>/<durable>`) that keeps an order: which of its instances works, under which epoch, until when. */
export const consumerLeases = postcommitSchema.table('consumer_leases', {
  consumer: text().primaryKey(),
  epoch: bigint({ mode: 'number' }).notNull().default(0),
  holder: text(),
  /** On the database's clock. */
  expiresAt: timestamp('expires_at', { withTimezone: true }),
});
