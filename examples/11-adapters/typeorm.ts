import { enqueue } from 'postcommit';
import { DataSource, EntitySchema } from 'typeorm';
import { type Patient, type Registry, registered } from './registry.ts';

const patients = new EntitySchema<Patient>({
  name: 'patients',
  columns: { id: { type: 'text', primary: true }, name: { type: 'text' } },
});

export async function openRegistry(databaseUrl: string): Promise<Registry> {
  const dataSource = new DataSource({ type: 'postgres', url: databaseUrl, entities: [patients] });
  await dataSource.initialize();
  return {
    async register(patient, then) {
      await dataSource.transaction(async (manager) => {
        await manager.insert(patients, patient);
        await enqueue(manager, registered(patient));
        then?.();
      });
    },
    close: () => dataSource.destroy(),
  };
}
