import { PrismaPg } from '@prisma/adapter-pg';
import { enqueue } from 'postcommit';
import { PrismaClient } from './generated/client.ts'; // Made of schema.prisma by `prisma generate`.
import { type Registry, registered } from './registry.ts';

export function openRegistry(databaseUrl: string): Registry {
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: databaseUrl }) });
  return {
    async register(patient, then) {
      await prisma.$transaction(async (tx) => {
        await tx.patient.create({ data: patient });
        await enqueue(tx, registered(patient));
        then?.();
      });
    },
    close: () => prisma.$disconnect(),
  };
}
