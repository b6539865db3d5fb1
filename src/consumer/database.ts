import { PostcommitError } from '../errors.ts';
import {
  type DrizzleTransaction,
  type Row,
  recogniseTransaction,
  type Transaction,
  type TransactionHandle,
} from '../postgres/transaction-handle.ts';

/** `pg.Pool`, by its structure. */
export interface PgPool {
  connect(): Promise<PgClient>;
  readonly totalCount: number;
}

/** A client out of a `pg.Pool`. */
export interface PgClient {
  query(text: string, values?: unknown[]): Promise<unknown>;
  release(destroy?: boolean): void;
}

/** A Drizzle database, by its structure. */
export interface DrizzleDatabase {
  transaction(work: (tx: unknown) => Promise<unknown>): Promise<unknown>;
}

/** Where the effects and the inbox live. */
export type ConsumerDatabase = PgPool | DrizzleDatabase;

/** What a handler gets as `tx`: the client of a pool, or the transaction of a Drizzle database. */
export type TransactionOf<Database> = Database extends DrizzleDatabase
  ? Parameters<Parameters<Database['transaction']>[0]>[0]
  : Database extends { connect: { (): Promise<infer Client>; (callback: never): void } }
    ? Client
    : Database extends { connect(): Promise<infer Client> }
      ? Client
      : never;

/**
 * Runs the work in one transaction that commits durably, whatever the role's or database's default for
 * `synchronous_commit` is: an acknowledged effect must survive a crash. Rejects with the work's own error
 * only if the rollback after it succeeded.
 */
export type Transact<Tx> = <Result>(
  work: (tx: Tx, opened: Opened) => Promise<Result>,
  options?: TransactOptions,
) => Promise<Result>;

export interface TransactOptions {
  /** The first statements, without parameters: they go out together with BEGIN. The work gets the rows that they return. */
  readonly opening?: readonly string[];
}

/** The rows of each opening statement. */
export type Opened = readonly (readonly Row[])[];

// Said at the end: the value at COMMIT counts, and in a transaction that failed (a handler swallowed the error)
// this statement fails too, where COMMIT alone would quietly roll back.
const COMMIT_DURABLY = 'SET LOCAL synchronous_commit = on';

export function createTransact<Database extends ConsumerDatabase>(
  database: Database,
): Transact<TransactionOf<Database>> {
  refuseSingleClient(database);
  if (isDrizzle(database)) return drizzleTransact(database) as Transact<TransactionOf<Database>>;
  if (typeof database?.connect === 'function' && 'totalCount' in database) {
    return poolTransact(database) as Transact<unknown> as Transact<TransactionOf<Database>>;
  }
  throw new PostcommitError(
    'config-invalid',
    'consume() needs `db`: a pg.Pool or a Drizzle database',
    'A single client cannot serve: each message takes a transaction of its own.',
  );
}

/** Runs statements of our own in one transaction, whatever the driver. */
export function inTransaction<Tx, Result>(
  transact: Transact<Tx>,
  work: (transaction: Transaction) => Promise<Result>,
): Promise<Result> {
  return transact(async (tx) => work(recogniseTransaction(tx as TransactionHandle)));
}

/** The `pg.Pool` itself, or the one below a Drizzle database, which keeps the driver's handle as `$client`. */
export function pgPoolOf(database: ConsumerDatabase): object | undefined {
  const driver = driverOf(database);
  return driver !== undefined && 'totalCount' in driver ? driver : undefined;
}

function driverOf(database: ConsumerDatabase | undefined): object | undefined {
  const driver: unknown = database !== undefined && '$client' in database ? database.$client : database;
  return typeof driver === 'object' && driver !== null ? driver : undefined;
}

/** On one connection the transactions of others would end the handler's. */
function refuseSingleClient(database: ConsumerDatabase): void {
  const driver = driverOf(database);
  const isSingle = driver !== database && driver !== undefined && 'escapeLiteral' in driver;
  if (!isSingle || pgPoolOf(database) !== undefined) return;
  throw new PostcommitError(
    'config-invalid',
    'the Drizzle database in `db` has a single client, and consume() needs several connections',
    'Make it from a pg.Pool: drizzle(new Pool({ connectionString })).',
  );
}

function isDrizzle(database: ConsumerDatabase): database is DrizzleDatabase {
  return typeof (database as Partial<DrizzleDatabase> | undefined)?.transaction === 'function';
}

function drizzleTransact(database: DrizzleDatabase): Transact<unknown> {
  return async <Result>(
    work: (tx: unknown, opened: Opened) => Promise<Result>,
    { opening = [] }: TransactOptions = {},
  ) => {
    const result = await database.transaction(async (tx) => {
      const { run } = recogniseTransaction(tx as DrizzleTransaction);
      const opened: (readonly Row[])[] = [];
      for (const statement of opening) opened.push(await run(statement, []));
      const value = await work(tx, opened);
      await run(COMMIT_DURABLY, []);
      return value;
    });
    return result as Result;
  };
}

function poolTransact(pool: PgPool): Transact<PgClient> {
  return async (work, { opening = [] } = {}) => {
    const client = await pool.connect();
    try {
      const opened = await begin(client, opening);
      const result = await work(client, opened);
      refuseEndedTransaction(client);
      await client.query(`${COMMIT_DURABLY}; COMMIT`);
      client.release();
      return result;
    } catch (error) {
      await rollBack(client);
      throw error;
    }
  };
}

/** One round trip; of several statements, `pg` answers with the results of all. */
async function begin(client: PgClient, opening: readonly string[]): Promise<Opened> {
  const results: unknown = await client.query(['BEGIN', ...opening].join('; '));
  if (!Array.isArray(results)) return []; // Of BEGIN alone.
  return (results as readonly { readonly rows: readonly Row[] }[]).slice(1).map(({ rows }) => rows);
}

async function rollBack(client: PgClient): Promise<void> {
  try {
    await client.query('ROLLBACK');
  } catch (error) {
    client.release(true);
    throw error;
  }
  client.release();
}

/** Otherwise a handler's own ROLLBACK would take the inbox row with it, and the message be acknowledged. */
function refuseEndedTransaction(client: PgClient & { getTransactionStatus?(): unknown }): void {
  if (client.getTransactionStatus?.() !== 'I') return;
  throw new PostcommitError(
    'outside-transaction',
    'the handler ended the transaction it was given',
    'Throw to roll back, return to commit; use a savepoint for a part of the work.',
  );
}
