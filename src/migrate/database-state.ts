/** A row in array form; every column below is cast to text, so that it reads alike through a session and a client. */
type Row = readonly (string | null)[];

/** What `pg`'s clients and our sessions have in common. */
export interface SqlClient {
  query(statement: {
    readonly text: string;
    readonly values?: unknown[];
    readonly rowMode: 'array';
  }): Promise<readonly Row[] | { readonly rows: readonly Row[] }>;
  /** `I` outside a transaction. */
  getTransactionStatus?(): string | null;
}

/** What decides whether and how this database can be migrated. */
export interface DatabaseState {
  readonly database: string;
  readonly role: string;
  readonly version: { readonly number: number; readonly text: string };
  readonly inRecovery: boolean;
  readonly mayCreateSchema: boolean;
  /** Null without a schema `postcommit`. */
  readonly schema: { readonly mayCreate: boolean; readonly holdsTables: boolean } | null;
  /** Null without a table of migrations. */
  readonly applied: readonly AppliedMigration[] | null;
}

export interface AppliedMigration {
  readonly hash: string;
  readonly when: number;
}

export async function readRows(
  client: SqlClient,
  text: string,
  values: unknown[] = [],
): Promise<readonly Row[]> {
  const result = await client.query({ text, values, rowMode: 'array' });
  return 'rows' in result ? result.rows : result;
}

export async function run(client: SqlClient, text: string): Promise<void> {
  // Without values: the simple protocol, which several of our statements need.
  await client.query({ text, rowMode: 'array' });
}

export async function readDatabaseState(client: SqlClient): Promise<DatabaseState> {
  const [row] = await readRows(client, STATE);
  const [database, role, number, text, recovery, mayCreateSchema, schema, mayCreate, tables, migrations] =
    row ?? [];
  return {
    database: String(database),
    role: String(role),
    version: { number: Number(number), text: String(text) },
    inRecovery: recovery === 'true',
    mayCreateSchema: mayCreateSchema === 'true',
    schema: schema === 'true' ? { mayCreate: mayCreate === 'true', holdsTables: Number(tables) > 0 } : null,
    applied: Number(migrations) > 0 ? await readApplied(client) : null,
  };
}

/** The catalog instead of `to_regclass`, which fails for a role that may not look into the schema. */
const STATE = `
  select current_database()::text, current_user::text,
    current_setting('server_version_num'), current_setting('server_version'),
    pg_is_in_recovery()::text,
    has_database_privilege(current_database(), 'CREATE')::text,
    (n.oid is not null)::text,
    has_schema_privilege(n.oid, 'CREATE')::text,
    (select count(*) from pg_class c where c.relnamespace = n.oid and c.relname = 'outbox')::text,
    (select count(*) from pg_class c where c.relnamespace = n.oid and c.relname = 'migrations')::text
  from (values (1)) one left join pg_namespace n on n.nspname = 'postcommit'`;

async function readApplied(client: SqlClient): Promise<AppliedMigration[]> {
  const rows = await readRows(
    client,
    'select hash, created_at::text from postcommit.migrations order by created_at, id',
  );
  return rows.map(([hash, when]) => ({ hash: String(hash), when: Number(when) }));
}

/** The size limit in bytes that the outbox's CHECK holds now. Null when the function does not exist yet. */
export async function readMaxPayload(client: SqlClient): Promise<number | null> {
  const [exists] = await readRows(
    client,
    `select 1::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where n.nspname = 'postcommit' and p.proname = 'max_payload'`,
  );
  if (exists === undefined) return null;
  const [row] = await readRows(client, 'select postcommit.max_payload()::text');
  return Number(row?.[0]);
}
