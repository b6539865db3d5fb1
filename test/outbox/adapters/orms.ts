import { PrismaPg } from '@prisma/adapter-pg';
import { DataSource } from 'typeorm';
import { PrismaClient } from '../../../examples/11-adapters/generated/client.ts';
import type { Library } from './library.ts';

export function withPrisma(url: string): Library {
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) });
  return {
    transaction: (work) =>
      prisma.$transaction((tx) =>
        work({
          tx,
          savepoint: (inner) => tx.$transaction((nested) => inner(nested)),
          statement: (text) => tx.$queryRawUnsafe(text),
        }),
      ),
    refused: [{ what: 'the client', handle: prisma, hint: 'prisma.$transaction(async (tx)' }],
    [Symbol.asyncDispose]: () => prisma.$disconnect(),
  };
}

async function openDataSource(url: string): Promise<DataSource> {
  const poolErrorHandler = () => undefined;
  return new DataSource({ type: 'postgres', url, poolErrorHandler }).initialize();
}

export async function withTypeOrm(url: string): Promise<Library> {
  const dataSource = await openDataSource(url);
  const hint = 'dataSource.transaction(async (manager)';
  return {
    transaction: (work) =>
      dataSource.transaction((manager) =>
        work({
          tx: manager,
          savepoint: (inner) => manager.transaction((nested) => inner(nested)),
          statement: (text) => manager.query(text),
        }),
      ),
    refused: [
      { what: 'the DataSource', handle: dataSource, hint },
      { what: 'its EntityManager', handle: dataSource.manager, hint },
      { what: 'a QueryRunner', handle: dataSource.createQueryRunner(), hint: 'startTransaction()' },
    ],
    [Symbol.asyncDispose]: () => dataSource.destroy(),
  };
}

/** BEGIN and its end are the caller's. */
export async function withQueryRunner(url: string): Promise<Library> {
  const dataSource = await openDataSource(url);
  return {
    async transaction(work) {
      const runner = dataSource.createQueryRunner();
      await runner.startTransaction();
      try {
        const result = await work({
          tx: runner,
          async savepoint(inner) {
            await runner.startTransaction();
            await inner(runner).catch(async (error) => {
              await runner.rollbackTransaction();
              throw error;
            });
            await runner.commitTransaction();
          },
          statement: (text) => runner.query(text),
        });
        await runner.commitTransaction();
        return result;
      } catch (error) {
        await runner.rollbackTransaction();
        throw error;
      } finally {
        await runner.release();
      }
    },
    refused: [],
    [Symbol.asyncDispose]: () => dataSource.destroy(),
  };
}
