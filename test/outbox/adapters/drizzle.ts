import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres';
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js';
import { drizzle as drizzlePgV1 } from 'drizzle-orm-v1/node-postgres';
import { drizzle as drizzlePostgresJsV1 } from 'drizzle-orm-v1/postgres-js';
import pg from 'pg';
import postgres from 'postgres';
import type { TransactionHandle } from '../../../src/index.ts';
import type { Library } from './library.ts';

interface Database<Tx> {
  transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result>;
}

type Handle = TransactionHandle & { execute(text: string): PromiseLike<unknown> };

function withDrizzle<Tx extends Handle & Database<Tx>>(
  db: Database<Tx>,
  close: () => Promise<void>,
): Library {
  return {
    transaction: (work) =>
      db.transaction((tx) =>
        work({
          tx,
          savepoint: (inner) => tx.transaction(inner),
          statement: (text) => tx.execute(text),
        }),
      ),
    refused: [{ what: 'the database', handle: db, hint: 'db.transaction(async (tx)' }],
    [Symbol.asyncDispose]: close,
  };
}

function openPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url });
  // end() does not wait for the sockets, and dropping the database ends the sessions behind them.
  pool.on('error', () => undefined);
  return pool;
}

export function drizzleOnPg(url: string): Library {
  const pool = openPool(url);
  return withDrizzle(drizzlePg(pool), () => pool.end());
}

export function drizzleV1OnPg(url: string): Library {
  const pool = openPool(url);
  return withDrizzle(drizzlePgV1({ client: pool }), () => pool.end());
}

export function drizzleOnPostgresJs(url: string): Library {
  const sql = postgres(url);
  return withDrizzle(drizzlePostgresJs(sql), () => sql.end());
}

export function drizzleV1OnPostgresJs(url: string): Library {
  const sql = postgres(url);
  return withDrizzle(drizzlePostgresJsV1({ client: sql }), () => sql.end());
}
