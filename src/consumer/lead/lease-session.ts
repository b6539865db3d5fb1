import type { Run } from '../../lease/consumer-lease.ts';
import type { Row } from '../../postgres/transaction-handle.ts';
import { type ConsumerDatabase, inTransaction, pgPoolOf, type Transact } from '../database.ts';

/** Where an instance holds its lease. */
export interface LeaseSession {
  readonly run: Run;
  /** It is no session: nothing of it outlives a statement, and only time says that its instance is alive. */
  readonly timeOnly: boolean;
  /** Ends it, and with it the lock that says that its instance is alive. */
  close(): void;
}

const CONNECT_WITHIN_MS = 5_000;

/** What a `pg.Pool` makes its clients of. */
interface ClientFactory {
  readonly options: object;
  readonly Client: new (options: object) => LeaseClient;
}

interface LeaseClient {
  readonly processID?: number | null;
  connect(): Promise<void>;
  query(text: string, values: unknown[]): Promise<{ readonly rows: readonly Row[] }>;
  on(name: 'error', listener: () => void): unknown;
  end(): Promise<void>;
}

/**
 * A connection of its own, made as the pool makes them: one out of the pool would be one fewer for handlers, and with the
 * consumers of a process there might be none left. Where there is no pool of `pg`, each statement is a transaction.
 */
export async function openLeaseSession<Tx>(
  db: ConsumerDatabase,
  { transact, ttlMs }: { readonly transact: Transact<Tx>; readonly ttlMs: number },
): Promise<LeaseSession> {
  const factory = factoryOf(db);
  if (factory === undefined)
    return { run: eachInATransaction(transact), timeOnly: true, close: () => undefined };
  // A statement that takes longer is worth nothing to a lease, and a network that swallows it says nothing.
  const bounds = { query_timeout: ttlMs, connectionTimeoutMillis: CONNECT_WITHIN_MS };
  const client = new factory.Client({ ...factory.options, ...bounds });
  client.on('error', () => undefined); // The statement that runs, or the next, says the same.
  const close = () => void client.end().catch(() => undefined);
  try {
    await client.connect();
    const run: Run = async (text, values) => (await client.query(text, [...values])).rows;
    const [row] = await run('SELECT pg_backend_pid()::text AS pid', []);
    // A pooler greets with a key of its own making, never with the process id of the backend that will answer.
    return { run, timeOnly: Number(row?.pid) !== client.processID, close };
  } catch (error) {
    close();
    throw error;
  }
}

function factoryOf(db: ConsumerDatabase): ClientFactory | undefined {
  const pool = pgPoolOf(db);
  return pool !== undefined && 'Client' in pool && 'options' in pool ? (pool as ClientFactory) : undefined;
}

function eachInATransaction<Tx>(transact: Transact<Tx>): Run {
  return (text, values) => inTransaction(transact, (transaction) => transaction.run(text, values));
}
