import { pgTable, text } from 'drizzle-orm/pg-core';
import { drizzle } from 'drizzle-orm/postgres-js';
import { enqueue } from 'postcommit';
import postgres from 'postgres';
import { type Registry, registered } from './registry.ts';

const patients = pgTable('patients', { id: text().primaryKey(), name: text().notNull() });

export function openRegistry(databaseUrl: string): Registry {
  const sql = postgres(databaseUrl);
  const db = drizzle(sql);
  return {
    async register(patient, then) {
      await db.transaction(async (tx) => {
        await tx.insert(patients).values(patient);
        await enqueue(tx, registered(patient));
        then?.();
      });
    },
    close: () => sql.end(),
  };
}
