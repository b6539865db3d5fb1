import pg from 'pg';
import { enqueue } from 'postcommit';
import { type Registry, registered } from './registry.ts';

export function openRegistry(databaseUrl: string): Registry {
  const pool = new pg.Pool({ connectionString: databaseUrl });
  return {
    async register(patient, then) {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        await client.query('INSERT INTO patients (id, name) VALUES ($1, $2)', [patient.id, patient.name]);
        await enqueue(client, registered(patient));
        then?.();
        await client.query('COMMIT');
      } catch (error) {
        await client.query('ROLLBACK');
        throw error;
      } finally {
        client.release();
      }
    },
    close: () => pool.end(),
  };
}
