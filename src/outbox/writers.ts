import type { Session } from '../postgres/session.ts';

/** Of these roles, those that may insert events. */
export async function writersAmong(session: Session, roles: readonly string[]): Promise<Set<string>> {
  if (roles.length === 0) return new Set();
  const rows = await session.query({
    // The catalog instead of a name, which fails for a role that may not look into the schema.
    text: `select role from unnest($1::text[]) role, pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = 'postcommit' and c.relname = 'outbox' and has_any_column_privilege(role, c.oid, 'INSERT')`,
    values: [roles],
  });
  return new Set(rows.map(([role]) => role ?? ''));
}
