import { sleep } from '../lifecycle/abort.ts';
import type { Session, Statement } from '../postgres/session.ts';

/** First key of the two-part advisory locks; spells "post". The second part is 0 for the leader, else an epoch. */
export const LOCK_NAMESPACE = 0x706f7374;
const LEADER = 0;

export interface LeaseTerms {
  /** Shown to operators: who holds the lease. */
  readonly member: string;
  readonly ttlMs: number;
}

/** Ends the holder's name of a leader behind a pooler: it has no session lock, so a free one says nothing about it. */
const POOLED = ' (pooled)';
const HELD_POOLED = `holder like '%${POOLED}' and expires_at >= clock_timestamp()`;

/**
 * Tries to take the lead: with the leader's session lock (a dead leader's is free at once), or without it when the
 * lease has run out on the database's clock (a hung leader still holds the lock, one behind a pooler never did).
 * Returns the new epoch.
 */
export async function takeLead(session: Session, terms: LeaseTerms): Promise<number | null> {
  const [row] = await session.query(session.pooled ? takeExpired(terms) : takeFreeOrExpired(terms));
  return row === undefined ? null : Number(row[0]);
}

/** The lock is not even tried while a pooled leader's lease stands: who got it would hold it without leading. */
function takeFreeOrExpired({ member, ttlMs }: LeaseTerms): Statement {
  return {
    name: 'postcommit_take_lead',
    text: `with seat as materialized (
             select case when exists (select from postcommit.lease where ${HELD_POOLED}) then false
                         else pg_try_advisory_lock($1, ${LEADER}) end as free)
           update postcommit.lease l
              set epoch = l.epoch + 1, holder = $2, expires_at = clock_timestamp() + $3 * interval '1 millisecond'
             from seat
            where seat.free or l.expires_at < clock_timestamp()
        returning l.epoch`,
    values: [LOCK_NAMESPACE, member, ttlMs],
  };
}

/** A session lock would be the pooler's backend's, and with it anybody's. */
function takeExpired({ member, ttlMs }: LeaseTerms): Statement {
  return {
    text: `update postcommit.lease
              set epoch = epoch + 1, holder = $1, expires_at = clock_timestamp() + $2 * interval '1 millisecond'
            where expires_at is null or expires_at < clock_timestamp()
        returning epoch`,
    values: [member + POOLED, ttlMs],
  };
}

/** What looked like a session is none: its statements reach one backend, then another. */
export class PooledUnawares extends Error {
  constructor() {
    super(
      'statements of one database session reach different backends: it goes through a transaction pooler',
    );
  }
}

/**
 * False: another epoch rules.
 *
 * @throws PooledUnawares for a pooler that passes a backend's greeting on: the session lock may be gone already.
 */
export async function renewIfLeading(session: Session, epoch: number, ttlMs: number): Promise<boolean> {
  const [row] = await session.query({
    name: 'postcommit_renew',
    text: `update postcommit.lease set expires_at = clock_timestamp() + $2 * interval '1 millisecond'
            where epoch = $1 returning pg_backend_pid()`,
    values: [epoch, ttlMs],
  });
  if (row === undefined) return false;
  if (!session.pooled && Number(row[0]) !== session.backendPid) throw new PooledUnawares();
  return true;
}

/**
 * In the list of a SELECT: its commit waits for no standby. One that did would keep the lease row locked meanwhile, and
 * the lead would be lost for want of a renewal. (The value at the commit counts.)
 */
export const WITHOUT_STANDBYS = "set_config('synchronous_commit', 'local', true)";

/**
 * Sets a sequence, if this epoch leads. `setval` knows no transaction, so the lease row is locked first: an older epoch
 * moves nothing.
 */
export async function setSequenceIfLeading(
  session: Session,
  { epoch, sequence, value }: { epoch: number; sequence: 'parked_until' | 'segment'; value: number },
): Promise<boolean> {
  const rows = await session.query({
    name: `postcommit_set_${sequence}`,
    text: `with chair as materialized (select from postcommit.lease where epoch = $1 for update)
           select setval('postcommit.${sequence}', $2), ${WITHOUT_STANDBYS} from chair`,
    values: [epoch, value],
  });
  return rows.length === 1;
}

/** Lets a standby take over without waiting, after a clean stop. */
export async function releaseIfLeading(session: Session, epoch: number): Promise<void> {
  await session.query({
    text: 'update postcommit.lease set holder = null, expires_at = null where epoch = $1',
    values: [epoch],
  });
}

/**
 * Marks a session as one of this epoch's, so that a successor finds and terminates it. Behind a pooler there is no
 * session to mark, and its backend may be a writer's next: epoch and lease alone hold off a former leader.
 */
export async function joinEpoch(session: Session, epoch: number): Promise<void> {
  if (session.pooled) return;
  await session.query({
    text: 'select pg_advisory_lock_shared($1, $2)',
    values: [LOCK_NAMESPACE, lockKey(epoch)],
  });
}

/**
 * Ends the sessions of every other epoch, and whoever else holds the leader's lock: a leader may hang before its
 * sessions are marked. Does nothing once another epoch rules, nor behind a pooler. Returns how many there were.
 */
export async function terminatePredecessors(session: Session, epoch: number): Promise<number> {
  if (session.pooled) return 0;
  const [row] = await session.query({
    text: `select count(pg_terminate_backend(pid)) from (
             select distinct pid from pg_locks
              where locktype = 'advisory' and objsubid = 2 and classid = $1::oid
                and database = (select oid from pg_database where datname = current_database())
                and objid <> $2::oid and granted and pid <> pg_backend_pid()
                and exists (select from postcommit.lease where epoch = $3)) former`,
    values: [LOCK_NAMESPACE, lockKey(epoch), epoch],
  });
  return Number(row?.[0] ?? 0);
}

const LEADER_LOCK_PATIENCE_MS = 5_000;
const LEADER_LOCK_ASK_EVERY_MS = 50;

/**
 * After a takeover by time: the hung leader's session is ending and still holds the lock. It is asked for rather than
 * waited for, since the lease is renewed over the same session meanwhile.
 */
export async function holdLeaderLock(session: Session): Promise<void> {
  if (session.pooled) return;
  const deadlineMs = performance.now() + LEADER_LOCK_PATIENCE_MS;
  while (!(await takeLeaderLock(session))) {
    if (performance.now() > deadlineMs) throw new Error('the session of the former leader does not end');
    await sleep(LEADER_LOCK_ASK_EVERY_MS);
  }
}

async function takeLeaderLock(session: Session): Promise<boolean> {
  const [row] = await session.query({
    text: `select (case when exists (
               select from pg_locks where locktype = 'advisory' and granted and objsubid = 2 and classid = $1::oid
                  and objid = ${LEADER}::oid and pid = pg_backend_pid()
                  and database = (select oid from pg_database where datname = current_database()))
             then true else pg_try_advisory_lock($2, ${LEADER}) end)::text`,
    values: [LOCK_NAMESPACE, LOCK_NAMESPACE],
  });
  return row?.[0] === 'true';
}

/**
 * Waits until no plan of an older epoch is in flight (a plan's INSERT holds ROW EXCLUSIVE), and makes one synchronous
 * write: what the log shows may be visible and yet on no standby; behind this commit it is everywhere. That write is a
 * message to nobody: whoever waits for a standby must not keep the lease row locked, or the lead would be lost meanwhile.
 */
export async function fenceLog(session: Session, epoch: number): Promise<boolean> {
  await session.query({ text: 'begin' });
  await session.query({ text: 'lock table postcommit.batches in share row exclusive mode' });
  const rows = await session.query({
    text: "select pg_logical_emit_message(true, 'postcommit', '') from postcommit.lease where epoch = $1",
    values: [epoch],
  });
  await session.queryStrictly({ text: 'commit' });
  return rows.length === 1;
}

/** Advisory lock keys are 32 bits and 0 is the leader's. */
function lockKey(epoch: number): number {
  return (epoch % 0x7fffffff) + 1;
}
