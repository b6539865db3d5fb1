import { enqueue } from 'postcommit';
import postgres from 'postgres';
import { type Registry, registered } from './registry.ts';

export function openRegistry(databaseUrl: string): Registry {
  const sql = postgres(databaseUrl);
  return {
    async register(patient, then) {
      await sql.begin(async (tx) => {
        await tx`INSERT INTO patients (id, name) VALUES (${patient.id}, ${patient.name})`;
        await enqueue(tx, registered(patient));
        then?.();
      });
    },
    close: () => sql.end(),
  };
}
