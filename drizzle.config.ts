import { defineConfig } from 'drizzle-kit';

/**
 * `npx drizzle-kit generate` finds nothing to do as long as the schema files and `migrations/` agree
 * (`npm run test:schema` checks it). Functions, triggers, checks and partitions, which Drizzle cannot say,
 * are written by hand in the same migrations.
 */
export default defineConfig({
  dialect: 'postgresql',
  schema: [
    './src/postgres/schema-name.ts',
    './src/outbox/schema.ts',
    './src/batch-log/schema.ts',
    './src/requests/schema.ts',
    './src/lease/schema.ts',
    './src/lease/consumer-leases-schema.ts',
    './src/inbox/schema.ts',
    './src/dead-letters/failures-schema.ts',
    './src/dead-letters/schema.ts',
  ],
  out: './migrations',
  schemaFilter: ['postcommit'],
  migrations: { schema: 'postcommit', table: 'migrations' },
  ...(process.env.DATABASE_URL === undefined ? {} : { dbCredentials: { url: process.env.DATABASE_URL } }),
});
