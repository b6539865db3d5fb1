import { drizzle } from 'drizzle-orm/node-postgres';
import { pgTable, text } from 'drizzle-orm/pg-core';
import pg from 'pg';
import { enqueue } from 'postcommit';
import { type Registry, registered } from './registry.ts';

const patients = pgTable('patients', { id: text().primaryKey(), name: text().notNull() });

export function openRegistry(databaseUrl: string): Registry {
  const pool = new pg.Pool({ connectionString: databaseUrl });
  const db = drizzle(pool);
  return {
    async register(patient, then) {
      await db.transaction(async (tx) => {
        await tx.insert(patients).values(patient);
        await enqueue(tx, registered(patient));
        then?.();
      });
    },
    close: () => pool.end(),
  };
}
