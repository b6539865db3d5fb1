import pg from 'pg';
import postgres from 'postgres';
import type { Library } from './library.ts';

export function withPg(url: string): Library {
  const pool = new pg.Pool({ connectionString: url });
  pool.on('error', () => undefined);
  return {
    async transaction(work) {
      const client = await pool.connect();
      const statement = (text: string) => client.query(text);
      try {
        await statement('BEGIN');
        const savepoint = async (inner: (tx: pg.PoolClient) => Promise<void>) => {
          await statement('SAVEPOINT s');
          await inner(client).catch(async (error) => {
            await statement('ROLLBACK TO s');
            throw error;
          });
        };
        const result = await work({ tx: client, savepoint, statement });
        await statement('COMMIT');
        return result;
      } catch (error) {
        await statement('ROLLBACK');
        throw error;
      } finally {
        client.release();
      }
    },
    refused: [{ what: 'the pool', handle: pool, hint: 'pool.connect()' }],
    [Symbol.asyncDispose]: () => pool.end(),
  };
}

export function withPostgresJs(url: string): Library {
  const sql = postgres(url);
  return {
    async transaction(work) {
      let result: Awaited<ReturnType<typeof work>> | undefined;
      await sql.begin(async (tx) => {
        result = await work({
          tx,
          savepoint: async (inner) => void (await tx.savepoint((nested) => inner(nested))),
          statement: (text) => tx.unsafe(text),
        });
      });
      return result as Awaited<ReturnType<typeof work>>;
    },
    refused: [{ what: '`sql` itself', handle: sql, hint: 'sql.begin(async (tx)' }],
    [Symbol.asyncDispose]: () => sql.end(),
  };
}

/** BEGIN and its end are the caller's, on a connection of one's own, kept for all of them. */
export function withReservedPostgresJs(url: string): Library {
  const sql = postgres(url);
  const connection = sql.reserve();
  return {
    async transaction(work) {
      const reserved = await connection;
      const statement = (text: string) => reserved.unsafe(text);
      try {
        await statement('BEGIN');
        const result = await work({
          tx: reserved,
          async savepoint(inner) {
            await statement('SAVEPOINT s');
            await inner(reserved).catch(async (error) => {
              await statement('ROLLBACK TO s');
              throw error;
            });
          },
          statement,
        });
        await statement('COMMIT');
        return result;
      } catch (error) {
        await statement('ROLLBACK');
        throw error;
      }
    },
    refused: [],
    async [Symbol.asyncDispose]() {
      (await connection).release();
      await sql.end();
    },
  };
}
