import type { Session } from '../postgres/session.ts';

/** A transaction that may still insert into the outbox or make inserted rows visible. */
export interface Holder {
  /** Virtual transaction id: a backend's next transaction is another holder; a prepared one has no pid. */
  readonly id: string;
  /** Its top-level transaction id, widened to 64 bits; null while it has none. */
  readonly xid: bigint | null;
}

/** By virtual transaction id. */
export type Holders = ReadonlyMap<string, Holder>;

/**
 * An INSERT takes ROW EXCLUSIVE on the outbox before it draws its position and keeps it until its transaction ends.
 * So whoever may still fill a gap seen before this listing began is in it. Matched on every relation of the partition
 * tree (an INSERT straight into a leaf locks only the leaf) and on this database (a template's copy shares OIDs).
 *
 * The oldest granted ExclusiveLock on a transaction id is the top-level one (a ShareLock is one it waits for). A holder
 * that is idle in a transaction without any transaction id holds no position and is left out; seeing that of other
 * roles needs pg_read_all_stats.
 */
const LIST_HOLDERS = `
with locks as materialized (
  select l.locktype, l.relation, l.database, l.transactionid, l.virtualtransaction, l.pid, l.mode
    from pg_locks l where l.granted and l.locktype in ('relation', 'transactionid')
), holders as (
  select distinct l.virtualtransaction, l.pid from locks l
   where l.locktype = 'relation' and l.mode = 'RowExclusiveLock'
     and l.database = (select oid from pg_database where datname = current_database())
     and l.relation in (select relid from pg_partition_tree('postcommit.outbox'))
)
select h.virtualtransaction,
       (select t.transactionid::text from locks t
         where t.locktype = 'transactionid' and t.virtualtransaction = h.virtualtransaction and t.mode = 'ExclusiveLock'
         order by age(t.transactionid) desc limit 1),
       pg_snapshot_xmax(pg_current_snapshot())::text
  from holders h left join pg_stat_activity a on a.pid = h.pid
 where not coalesce(a.state = 'idle in transaction' and a.backend_xid is null, false)`;

/** Lists the transactions that hold the insert lock on the outbox now. */
export async function listHolders(session: Session): Promise<Holders> {
  const rows = await session.query({ name: 'postcommit_list_holders', text: LIST_HOLDERS });
  const holders = new Map<string, Holder>();
  for (const [id, xid, xmax] of rows) {
    if (id === null || id === undefined) continue;
    holders.set(id, { id, xid: xid ? widenXid(BigInt(xid), BigInt(xmax ?? '0')) : null });
  }
  return holders;
}

/**
 * pg_locks shows 32 bits of a transaction id; the epoch comes from a 64-bit neighbour, the snapshot's xmax.
 * The nearest candidate is right: a holder's id is less than 2^31 away, on either side.
 */
export function widenXid(xid: bigint, xmax: bigint): bigint {
  const epoch = 1n << 32n;
  const candidate = (xmax & ~(epoch - 1n)) | xid;
  if (candidate - xmax > epoch / 2n) return candidate - epoch;
  if (xmax - candidate > epoch / 2n) return candidate + epoch;
  return candidate;
}
