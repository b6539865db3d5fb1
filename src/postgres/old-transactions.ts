import type { Session } from './session.ts';

/** A transaction of this database that has been open for long. */
export interface OldTransaction {
  /** Null of a prepared one. */
  readonly pid: number | null;
  /** Of a prepared one. */
  readonly gid: string | null;
  readonly role: string;
  readonly application: string;
  readonly idle: boolean;
  readonly ageMs: number;
  /** It may have written events, which come when it ends. */
  readonly holdsOutbox: boolean;
}

/** Whose transactions of this database are open, as far as this role may see it. */
export interface OpenTransactions {
  /** Oldest first. */
  readonly old: readonly OldTransaction[];
  /** The role sees since when transactions of others are open. */
  readonly seesAll: boolean;
  /** Open transactions of which it does not. */
  readonly hidden: number;
}

const HOLDS_OUTBOX = `
  l.locktype = 'relation' and l.mode = 'RowExclusiveLock' and l.granted
  and l.database = (select oid from pg_database where datname = current_database())
  and l.relation in (select relid from pg_partition_tree(to_regclass('postcommit.outbox')))`;

/** A VACUUM holds nothing up, and a parallel worker counts with its leader. */
const IS_OPEN = `(backend_xid is not null or backend_xmin is not null or state like 'idle in transaction%')
   and coalesce(backend_type, '') not in ('autovacuum worker', 'parallel worker')`;

/** Sessions and prepared transactions of this database, besides relays' own, that are older than this. */
export async function openTransactions(session: Session, olderThanMs: number): Promise<OpenTransactions> {
  const rows = await session.query({
    text: `
select pid, null, coalesce(usename, ''), coalesce(application_name, ''), (state like 'idle in transaction%')::text,
       date_part('epoch', clock_timestamp() - xact_start) * 1000 as age,
       exists (select from pg_locks l where l.pid = a.pid and ${HOLDS_OUTBOX})::text
  from pg_stat_activity a
 where datname = current_database() and pid <> pg_backend_pid() and ${IS_OPEN}
   and xact_start < clock_timestamp() - $1 * interval '1 millisecond'
union all
select null, gid, owner::text, '', 'true', date_part('epoch', clock_timestamp() - prepared) * 1000,
       exists (select from pg_locks own join pg_locks l using (virtualtransaction)
                where own.locktype = 'transactionid' and own.transactionid = p.transaction and own.pid is null
                  and l.pid is null and ${HOLDS_OUTBOX})::text
  from pg_prepared_xacts p
 where database = current_database() and prepared < clock_timestamp() - $1 * interval '1 millisecond'
 order by age desc limit 20`,
    values: [olderThanMs],
  });
  const [view] = await session.query({
    text: `
select (pg_has_role(current_user, 'pg_read_all_stats', 'usage'))::text,
       (select count(*) from pg_stat_activity where datname = current_database() and xact_start is null
           and usesysid is not null and pid <> pg_backend_pid() and ${IS_OPEN})`,
  });
  return {
    old: rows.map(([pid, gid, role, application, idle, age, holdsOutbox]) => ({
      pid: pid == null ? null : Number(pid),
      gid: gid ?? null,
      role: role ?? '',
      application: application ?? '',
      idle: idle === 'true',
      ageMs: Number(age),
      holdsOutbox: holdsOutbox === 'true',
    })),
    seesAll: view?.[0] === 'true',
    hidden: Number(view?.[1] ?? 0),
  };
}
