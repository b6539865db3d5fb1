import knexOf from 'knex';
import { CompiledQuery, Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { Library } from './library.ts';

function openKysely(url: string): Kysely<Record<string, never>> {
  const pool = new pg.Pool({ connectionString: url });
  pool.on('error', () => undefined);
  return new Kysely({ dialect: new PostgresDialect({ pool }) });
}

/** Transactions of `db.transaction()` have no savepoints. */
export function withKysely(url: string): Library {
  const db = openKysely(url);
  return {
    transaction: (work) =>
      db.transaction().execute((trx) =>
        work({
          tx: trx,
          savepoint: () => Promise.reject(new Error('there are none')),
          statement: (text) => trx.executeQuery(CompiledQuery.raw(text)),
        }),
      ),
    refused: [{ what: 'the database', handle: db, hint: 'db.transaction().execute(async (trx)' }],
    [Symbol.asyncDispose]: () => db.destroy(),
  };
}

export function withControlledKysely(url: string): Library {
  const db = openKysely(url);
  return {
    async transaction(work) {
      const trx = await db.startTransaction().execute();
      try {
        const result = await work({
          tx: trx,
          async savepoint(inner) {
            const nested = await trx.savepoint('s').execute();
            await inner(nested).catch(async (error) => {
              await trx.rollbackToSavepoint('s' as never).execute();
              throw error;
            });
          },
          statement: (text) => trx.executeQuery(CompiledQuery.raw(text)),
        });
        await trx.commit().execute();
        return result;
      } catch (error) {
        await trx.rollback().execute();
        throw error;
      }
    },
    refused: [],
    [Symbol.asyncDispose]: () => db.destroy(),
  };
}

export function withKnex(url: string): Library {
  const knex = knexOf({ client: 'pg', connection: url });
  return {
    transaction: (work) =>
      knex.transaction((trx) =>
        work({
          tx: trx,
          savepoint: (inner) => trx.transaction((nested) => inner(nested)),
          statement: (text) => trx.raw(text),
        }),
      ),
    refused: [{ what: '`knex` itself', handle: knex, hint: 'knex.transaction(async (trx)' }],
    [Symbol.asyncDispose]: () => knex.destroy(),
  };
}
