import knexOf from 'knex';
import { enqueue } from 'postcommit';
import { type Registry, registered } from './registry.ts';

export function openRegistry(databaseUrl: string): Registry {
  const knex = knexOf({ client: 'pg', connection: databaseUrl });
  return {
    async register(patient, then) {
      await knex.transaction(async (trx) => {
        await trx('patients').insert(patient);
        await enqueue(trx, registered(patient));
        then?.();
      });
    },
    close: () => knex.destroy(),
  };
}
