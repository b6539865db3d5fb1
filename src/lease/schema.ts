import { bigint, smallint, text, timestamp } from 'drizzle-orm/pg-core';
import { postcommitSchema } from '../postgres/schema-name.ts';

/** One row: who leads, under which epoch, until when on the database's clock. */
export const lease = postcommitSchema.table('lease', {
  id: smallint().primaryKey().default(1),
  epoch: bigint({ mode: 'number' }).notNull().default(0),
  holder: text(),
  expiresAt: timestamp('expires_at', { withTimezone: true }),
});
