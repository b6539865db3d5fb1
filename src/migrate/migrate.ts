import { messageOf, PostcommitError } from '../errors.ts';
import { openSession, sqlState } from '../postgres/session.ts';
import { type Logger, silentLogger } from '../telemetry/logger.ts';
import { readDatabaseState, readMaxPayload, run, type SqlClient } from './database-state.ts';
import { assertMaxPayload, DEFAULT_MAX_PAYLOAD } from './max-payload.ts';
import { MIGRATIONS_FOLDER, type Migration, readMigrations } from './migration-files.ts';
import { assertMigratable, pendingMigrations } from './pending.ts';
import { BEGIN, COMMIT, LOCK, type Plan, planStatements, toScript } from './plan.ts';

export type MigrateOptions = MigrateTarget & {
  /** Largest size of payload and headers together in bytes. Default: left as it is (1,000,000 at first). */
  readonly maxPayload?: number | undefined;
  /** Only says what would be done. */
  readonly dryRun?: boolean | undefined;
  readonly logger?: Logger | undefined;
  /** Default: the migrations of this package. */
  readonly folder?: string | undefined;
};

export type MigrateTarget =
  | { readonly url: string; readonly client?: never }
  /** A connected `pg` client (no pool) that is in no transaction. */
  | { readonly client: SqlClient; readonly url?: never };

export interface MigrateResult {
  /** Names of the migrations that were applied (with `dryRun`: would be). Empty when the database is up to date. */
  readonly applied: readonly string[];
  /** The size limit before and after, if it was (would be) changed. */
  readonly maxPayload: { readonly from: number; readonly to: number } | null;
  /** All of it as a script for psql. Empty when there is nothing to do. */
  readonly sql: string;
  /** What else has to be done, in words. */
  readonly warnings: readonly string[];
}

/** Migrations may wait for each other for a minute and work longer than a relay's statement. */
const QUERY_TIMEOUT_MS = 600_000;

/**
 * Brings the schema `postcommit` up to this version: all of it or nothing, in one transaction, under a lock that
 * makes other starters wait. Safe to repeat.
 *
 * @throws PostcommitError `database-unreachable`, `database-unsuitable` or `config-invalid`.
 */
export async function migrate(options: MigrateOptions): Promise<MigrateResult> {
  const { maxPayload, logger = silentLogger() } = options;
  if (maxPayload !== undefined) assertMaxPayload(maxPayload);
  const migrations = await readMigrations(options.folder ?? MIGRATIONS_FOLDER);
  const plan = await withClient(options, async (client) => {
    const task = { client, migrations, maxPayload };
    return options.dryRun === true ? await planOnly(task) : await apply(task);
  });
  const warnings = warningsOf(maxPayload);
  if (options.dryRun !== true) report(plan, warnings, logger);
  return {
    applied: plan.pending.map(({ name }) => name),
    maxPayload: plan.maxPayload,
    sql: toScript(plan),
    warnings,
  };
}

interface Task {
  readonly client: SqlClient;
  readonly migrations: readonly Migration[];
  readonly maxPayload: number | undefined;
}

async function planOnly({ client, migrations, maxPayload }: Task): Promise<Plan> {
  const state = await readDatabaseState(client);
  assertMigratable(state, migrations);
  const pending = pendingMigrations(migrations, state.applied ?? []);
  const currentMaxPayload = await readMaxPayload(client);
  return planStatements({ state, pending, currentMaxPayload, wantedMaxPayload: maxPayload });
}

async function apply(task: Task): Promise<Plan> {
  const { client } = task;
  // Once without the lock: a standby could not even take it, and an up-to-date database is not to wait for it.
  const before = await planOnly(task);
  if (before.statements.length === 0) return before;
  await run(client, BEGIN);
  try {
    await run(client, LOCK);
    const plan = await planOnly(task);
    for (const statement of plan.statements) await run(client, statement);
    await run(client, COMMIT);
    return plan;
  } catch (error) {
    await rollbackQuietly(client);
    throw explain(error);
  }
}

async function rollbackQuietly(client: SqlClient): Promise<void> {
  try {
    await run(client, 'ROLLBACK');
  } catch {
    // The connection is gone, and the transaction with it.
  }
}

async function withClient<T>(options: MigrateTarget, work: (client: SqlClient) => Promise<T>): Promise<T> {
  if (options.client !== undefined) {
    assertNoTransaction(options.client);
    return await work(options.client).catch(rethrowExplained);
  }
  const session = await openSession({
    url: options.url,
    name: 'postcommit migrate',
    queryTimeoutMs: QUERY_TIMEOUT_MS,
  });
  try {
    return await work(session).catch(rethrowExplained);
  } finally {
    await session.close();
  }
}

function assertNoTransaction(client: SqlClient): void {
  const status = client.getTransactionStatus?.() ?? 'I';
  if (status === 'I') return;
  throw new PostcommitError(
    'database-unsuitable',
    'migrate was called with a client that is inside a transaction',
    'Commit or roll back first: migrate begins and commits a transaction of its own.',
  );
}

function rethrowExplained(error: unknown): never {
  throw explain(error);
}

function explain(error: unknown): unknown {
  const state = sqlState(error);
  if (state === undefined) return error;
  return new PostcommitError(
    'database-unsuitable',
    `the database refused to be migrated: ${messageOf(error)}`,
    HINTS[state] ??
      'Nothing was changed: migrations are applied together or not at all. Run it again once the cause is gone.',
    { cause: error },
  );
}

const HINTS: Readonly<Record<string, string>> = {
  '42501': 'Migrate as the role that owns the schema postcommit. Nothing was changed.',
  '25006': 'The database is read-only: point DATABASE_URL at the primary, or wait until it accepts writes.',
  '55P03':
    'Something else holds a lock for long: look into pg_locks, then run it again. Nothing was changed.',
};

function warningsOf(maxPayload: number | undefined): string[] {
  if (maxPayload === undefined || maxPayload <= DEFAULT_MAX_PAYLOAD) return [];
  return [
    `a NATS server accepts messages of 1,048,576 bytes by default: raise its max_payload above ${maxPayload}, with room for headers, before such events are written`,
  ];
}

function report({ pending, maxPayload }: Plan, warnings: readonly string[], logger: Logger): void {
  for (const { name } of pending)
    logger.info({ event: 'migration-applied', migration: name }, `applied ${name}`);
  if (maxPayload !== null) logger.info({ event: 'max-payload-changed', ...maxPayload }, 'size limit changed');
  for (const warning of warnings) logger.warn({ event: 'migration-warning' }, warning);
}
