import type { Session } from './session.ts';

/** A value that somebody set for sessions of this database, beside the server's configuration. */
export interface SettingOrigin {
  /** Null: of every role. */
  readonly role: string | null;
  readonly value: string;
  /** The statement that takes it back. */
  readonly reset: string;
}

/** ALTER ROLE and ALTER DATABASE, as far as they concern this database. */
export async function settingOrigins(session: Session, name: string): Promise<SettingOrigin[]> {
  const rows = await session.query({
    text: `
select r.rolname, substr(entry, strpos(entry, '=') + 1),
       case when s.setrole = 0 then format('ALTER DATABASE %I RESET %s;', d.datname, $1::text)
            when s.setdatabase = 0 then format('ALTER ROLE %I RESET %s;', r.rolname, $1::text)
            else format('ALTER ROLE %I IN DATABASE %I RESET %s;', r.rolname, d.datname, $1::text) end
  from pg_db_role_setting s cross join unnest(s.setconfig) entry
       left join pg_roles r on r.oid = s.setrole left join pg_database d on d.oid = s.setdatabase
 where (s.setdatabase = 0 or d.datname = current_database())
   and lower(split_part(entry, '=', 1)) = lower($1::text)
 order by 1, 3`,
    values: [name],
  });
  return rows.map(([role, value, reset]) => ({ role: role ?? null, value: value ?? '', reset: reset ?? '' }));
}

/**
 * What a new session of this role would begin with, whatever ours was told. Undefined: the server does not know it, or does
 * not show it.
 */
export async function initialSetting(session: Session, name: string): Promise<string | undefined> {
  const [row] = await session.query({
    text: 'select reset_val from pg_settings where name = $1',
    values: [name],
  });
  return row?.[0] ?? undefined;
}
