import { PostcommitError } from '../errors.ts';
import type { AppliedMigration, DatabaseState } from './database-state.ts';
import { readDatabaseState, type SqlClient } from './database-state.ts';
import { MIGRATIONS_FOLDER, type Migration, readMigrations } from './migration-files.ts';

/**
 * Names of the migrations that this version needs and the database lacks. A database that is newer than the code
 * lacks none: old relays go on working while new ones are rolled out.
 */
export async function missingMigrations(client: SqlClient): Promise<string[]> {
  const [state, migrations] = [await readDatabaseState(client), await readMigrations(MIGRATIONS_FOLDER)];
  return pendingMigrations(migrations, state.applied ?? []).map(({ name }) => name);
}

/** By the journal's time, as drizzle-orm's migrator does. */
export function pendingMigrations(
  migrations: readonly Migration[],
  applied: readonly AppliedMigration[],
): readonly Migration[] {
  const known = new Set(applied.map(({ when }) => when));
  return migrations.filter(({ when }) => !known.has(when));
}

/** @throws PostcommitError `database-unsuitable` when these migrations cannot or must not be applied there. */
export function assertMigratable(state: DatabaseState, migrations: readonly Migration[]): void {
  const problem =
    serverProblem(state) ?? historyProblem(state, migrations) ?? privilegeProblem(state, migrations);
  if (problem !== undefined) throw new PostcommitError('database-unsuitable', problem.message, problem.hint);
}

export interface Problem {
  readonly message: string;
  readonly hint: string;
}

const OLDEST_SERVER = 150_000;

function serverProblem({ version, inRecovery, database }: DatabaseState): Problem | undefined {
  if (inRecovery) {
    return {
      message: `the server of database "${database}" is a hot standby: nothing can be written there`,
      hint: 'Point DATABASE_URL at the primary.',
    };
  }
  if (version.number < OLDEST_SERVER) {
    return {
      message: `PostgreSQL ${version.text} is too old`,
      hint: 'postcommit needs PostgreSQL 15 or newer.',
    };
  }
  return undefined;
}

/** What tells that this database was not, or not only, migrated by the migrations of this version. */
export function historyProblem(
  { applied, schema, database }: DatabaseState,
  migrations: readonly Migration[],
): Problem | undefined {
  const newest = migrations.at(-1)?.when ?? 0;
  const newer = applied?.filter(({ when }) => when > newest).length ?? 0;
  if (newer > 0) {
    return {
      message: `database "${database}" is newer than this version of postcommit: it has ${newer} migration(s) that this version does not know`,
      hint: 'Use the version of postcommit that migrated it, or a later one.',
    };
  }
  const hashes = new Map(applied?.map(({ when, hash }) => [when, hash]));
  const changed = migrations.find(({ when, hash }) => hashes.has(when) && hashes.get(when) !== hash);
  if (changed !== undefined) {
    return {
      message: `migration ${changed.name} is not the one that database "${database}" was migrated with`,
      hint: 'Reinstall postcommit if its files were edited; a database made by an unreleased version must be made anew.',
    };
  }
  if (applied === null && schema?.holdsTables === true) {
    return {
      message: `database "${database}" has a schema "postcommit" with an outbox that was not made by these migrations`,
      hint: 'Rename that schema (ALTER SCHEMA postcommit RENAME TO …), or use another database.',
    };
  }
  return undefined;
}

function privilegeProblem(
  { applied, schema, database, role, mayCreateSchema }: DatabaseState,
  migrations: readonly Migration[],
): Problem | undefined {
  if (pendingMigrations(migrations, applied ?? []).length === 0) return undefined;
  if (schema === null && !mayCreateSchema) {
    return {
      message: `role "${role}" may not create the schema "postcommit" in database "${database}"`,
      hint: `Have an administrator run: GRANT CREATE ON DATABASE "${database}" TO "${role}" (or: CREATE SCHEMA postcommit AUTHORIZATION "${role}").`,
    };
  }
  if (schema !== null && !schema.mayCreate) {
    return {
      message: `role "${role}" may not create tables in the schema "postcommit" of database "${database}"`,
      hint: 'Migrate as the role that owns the schema.',
    };
  }
  return undefined;
}
