import type { DatabaseState } from './database-state.ts';
import { DEFAULT_MAX_PAYLOAD, setMaxPayload } from './max-payload.ts';
import type { Migration } from './migration-files.ts';

/** What a migration run does: nothing but these statements, in one transaction. */
export interface Plan {
  readonly pending: readonly Migration[];
  readonly maxPayload: { readonly from: number; readonly to: number } | null;
  readonly statements: readonly string[];
}

export interface PlanInput {
  readonly state: DatabaseState;
  readonly pending: readonly Migration[];
  /** The limit in force, null before the first migration. */
  readonly currentMaxPayload: number | null;
  readonly wantedMaxPayload: number | undefined;
}

export const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED;';

/**
 * Starters queue here: the first migrates, the others then find nothing to do. READ COMMITTED above, because a
 * snapshot from before the wait would show them the old state. The lock ends with the transaction, whoever dies.
 */
export const LOCK = `SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '60s';
SELECT pg_advisory_xact_lock(hashtextextended('postcommit.migrations', 0));
-- From here on a lock that is not to be had is an error, soon: whoever waits for one makes writers wait behind it.
SET LOCAL lock_timeout = '5s';
-- What the migrations name without a schema is PostgreSQL's own, whoever has made what of that name elsewhere.
SET LOCAL search_path = pg_catalog;`;

export const COMMIT = 'COMMIT;';

/** The very table that drizzle-orm's migrator makes, so that `drizzle-kit migrate` and we understand each other. */
const CREATE_MIGRATIONS_TABLE = `CREATE TABLE IF NOT EXISTS postcommit.migrations (
	id SERIAL PRIMARY KEY,
	hash text NOT NULL,
	created_at bigint
);`;

export function planStatements({ state, pending, currentMaxPayload, wantedMaxPayload }: PlanInput): Plan {
  const statements: string[] = [];
  if (pending.length > 0) {
    if (state.schema === null) statements.push('CREATE SCHEMA postcommit;');
    if (state.applied === null) statements.push(CREATE_MIGRATIONS_TABLE);
  }
  for (const migration of pending) {
    statements.push(
      ...migration.statements.filter((statement) => !createsSchema(statement)),
      record(migration),
    );
  }
  const maxPayload = changeOf(currentMaxPayload ?? DEFAULT_MAX_PAYLOAD, wantedMaxPayload);
  if (maxPayload !== null) statements.push(setMaxPayload(maxPayload.to));
  return { pending, maxPayload, statements };
}

/** The whole run as a script for psql; empty when there is nothing to do. */
export function toScript({ statements }: Plan): string {
  if (statements.length === 0) return '';
  return `${[BEGIN, LOCK, ...statements, COMMIT].map(terminated).join('\n\n')}\n`;
}

/**
 * The schema comes first and apart from its migration: the table of migrations lives in it, and where an
 * administrator made it in advance, the role needs no CREATE on the database.
 */
function createsSchema(statement: string): boolean {
  const code = statement.replace(/^\s*--.*$/gm, '').trim();
  return /^create\s+schema\s+(if\s+not\s+exists\s+)?"?postcommit"?\s*;?$/i.test(code);
}

function record({ hash, when }: Migration): string {
  return `INSERT INTO postcommit.migrations (hash, created_at) VALUES ('${hash}', ${when});`;
}

function changeOf(from: number, to: number | undefined): Plan['maxPayload'] {
  return to === undefined || to === from ? null : { from, to };
}

function terminated(statement: string): string {
  return statement.endsWith(';') ? statement : `${statement};`;
}
