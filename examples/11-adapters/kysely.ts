import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { enqueue } from 'postcommit';
import { type Patient, type Registry, registered } from './registry.ts';

export function openRegistry(databaseUrl: string): Registry {
  const pool = new pg.Pool({ connectionString: databaseUrl });
  const db = new Kysely<{ patients: Patient }>({ dialect: new PostgresDialect({ pool }) });
  return {
    async register(patient, then) {
      await db.transaction().execute(async (trx) => {
        await trx.insertInto('patients').values(patient).execute();
        await enqueue(trx, registered(patient));
        then?.();
      });
    },
    close: () => db.destroy(),
  };
}
