import type { Session } from './session.ts';

/** How many more connections this role could open now, and what ends them. */
export interface ConnectionRoom {
  /** The fewest of all that follow. */
  readonly free: number;
  readonly bound: 'max_connections' | 'role' | 'database';
  /** Of that bound. */
  readonly limit: number;
  /** Connections that relays of this role have by now. */
  readonly ofRelays: number;
  /** Quoted, for a statement. */
  readonly role: string;
  readonly database: string;
}

/** How a relay calls its sessions. */
const RELAYS = "application_name ~ '^postcommit (lease|relay|read|maintenance|listen)\\M'";

export async function readConnectionRoom(session: Session): Promise<ConnectionRoom> {
  const [row] = await session.query({
    text: `
select current_setting('max_connections')::int,
       current_setting('max_connections')::int - case when r.rolsuper then 0
         else current_setting('superuser_reserved_connections')::int
              + coalesce(current_setting('reserved_connections', true), '0')::int end
         - (select count(*) from pg_stat_activity where datid is not null),
       case when r.rolsuper then -1 else r.rolconnlimit end,
       (select count(*) from pg_stat_activity where usesysid = r.oid),
       case when r.rolsuper then -1 else d.datconnlimit end,
       (select count(*) from pg_stat_activity where datid = d.oid),
       (select count(*) from pg_stat_activity where usesysid = r.oid and datid = d.oid and ${RELAYS}),
       quote_ident(r.rolname), quote_ident(d.datname)
  from pg_roles r, pg_database d where r.rolname = session_user and d.datname = current_database()`,
  });
  const number = (index: number) => Number(row?.[index]);
  const bounds = [
    { bound: 'max_connections', limit: number(0), free: number(1) },
    { bound: 'role', limit: number(2), free: number(2) - number(3) },
    { bound: 'database', limit: number(4), free: number(4) - number(5) },
  ] as const;
  const [tightest = bounds[0]] = bounds.filter(({ limit }) => limit >= 0).sort((a, b) => a.free - b.free);
  return { ...tightest, ofRelays: number(6), role: row?.[7] ?? '', database: row?.[8] ?? '' };
}
