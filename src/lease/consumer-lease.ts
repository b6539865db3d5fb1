import { createHash } from 'node:crypto';
import type { Row, Transaction } from '../postgres/transaction-handle.ts';

/** Statements of one session, or each in a transaction of its own. */
export type Run = Transaction['run'];

/** Which of a consumer's instances works, and since which takeover. */
export interface ConsumerLease {
  /** Names the consumer: durables of different streams may have the same name. */
  readonly consumer: string;
  readonly epoch: number;
}

export interface ConsumerLeaseTerms {
  readonly consumer: string;
  /** Shown to operators: who holds it. */
  readonly member: string;
  readonly ttlMs: number;
  /** No session of its own (a pooler, a driver that lends none): no session lock says that it is alive. */
  readonly timeOnly: boolean;
}

/** Ends the holder's name of an instance without a session lock: a free lock says nothing about it. */
const TIME_ONLY = ' (time only)';

/**
 * Tries to become the active instance: with the session lock (a dead one's is free at once), or when the lease has run out
 * on the database's clock (a hung one still holds the lock). Returns the new epoch, which the clock makes: a standby that became
 * the server without the last takeovers does not give out once more what a former instance believes to have.
 */
export async function takeConsumerLease(run: Run, terms: ConsumerLeaseTerms): Promise<number | null> {
  const { consumer, member, ttlMs, timeOnly } = terms;
  await run('INSERT INTO postcommit.consumer_leases (consumer) VALUES ($1::text) ON CONFLICT DO NOTHING', [
    consumer,
  ]);
  const free = timeOnly
    ? 'SELECT false AS free'
    : `SELECT CASE WHEN EXISTS (SELECT FROM postcommit.consumer_leases WHERE consumer = $1::text
                                   AND holder LIKE '%${TIME_ONLY}' AND expires_at >= clock_timestamp()) THEN false
                   ELSE pg_try_advisory_lock(${SEATS}, ${lockKey(consumer)}) END AS free`;
  const rows = await run(
    `WITH seat AS MATERIALIZED (${free})
     UPDATE postcommit.consumer_leases l
        SET epoch = greatest(l.epoch + 1, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint), holder = $2::text,
            expires_at = clock_timestamp() + $3::text::float8 * interval '1 millisecond'
       FROM seat
      WHERE l.consumer = $1::text AND (seat.free OR l.expires_at IS NULL OR l.expires_at < clock_timestamp())
     RETURNING l.epoch::text AS epoch`,
    [consumer, timeOnly ? member + TIME_ONLY : member, String(ttlMs)],
  );
  return rows[0] === undefined ? null : Number(rows[0].epoch);
}

/** False: another instance has taken over. */
export async function renewConsumerLease(run: Run, lease: ConsumerLease, ttlMs: number): Promise<boolean> {
  const rows = await run(
    `UPDATE postcommit.consumer_leases SET expires_at = clock_timestamp() + $3::text::float8 * interval '1 millisecond'
      WHERE consumer = $1::text AND epoch = $2::text::bigint RETURNING true AS renewed`,
    [...names(lease), String(ttlMs)],
  );
  return rows.length === 1;
}

/** Lets a standby take over without waiting, after a clean stop. */
export async function releaseConsumerLease(run: Run, lease: ConsumerLease): Promise<void> {
  await run(
    `UPDATE postcommit.consumer_leases SET holder = NULL, expires_at = NULL
      WHERE consumer = $1::text AND epoch = $2::text::bigint`,
    names(lease),
  );
}

/**
 * First statement of a transaction that has effects: whoever takes over finds it by this lock, ends it, and waits for its
 * end. It must come before the epoch is read (`leaseHeld`): a transaction that reads the old epoch is one that holds the lock.
 * To be followed by `afterEntry` with the row that it returns.
 */
export function effectsEntry({ consumer, epoch }: ConsumerLease): string {
  return `SELECT current_setting('transaction_isolation') AS isolation,
            pg_advisory_xact_lock_shared(${effectsOf(consumer)}, ${epochKey(epoch)})`;
}

export async function afterEntry(
  transaction: Transaction,
  lease: ConsumerLease,
  entered: Row | undefined,
): Promise<void> {
  if (entered?.isolation !== 'read committed') await requireUnchanged(transaction, lease);
}

/** Both, in a transaction that is open already. */
export async function enterEffects(transaction: Transaction, lease: ConsumerLease): Promise<void> {
  const rows = await transaction.run(effectsEntry(lease), []);
  await afterEntry(transaction, lease, rows[0]);
}

/**
 * With one snapshot for all statements, that is older than the lock above, and would show a lease that is over. A row that
 * changed since cannot be locked: error 40001. The lock itself would keep its holder from renewing it, and is let go at once.
 */
async function requireUnchanged({ run }: Transaction, { consumer }: ConsumerLease): Promise<void> {
  await run('SAVEPOINT postcommit_lease', []);
  await run('SELECT FROM postcommit.consumer_leases WHERE consumer = $1::text FOR SHARE', [consumer]);
  await run('ROLLBACK TO SAVEPOINT postcommit_lease', []);
  await run('RELEASE SAVEPOINT postcommit_lease', []);
}

/** A condition for statements: their epoch is the one that rules. */
export function leaseHeld({ consumer, epoch }: { consumer: string; epoch: string }): string {
  return `EXISTS (SELECT FROM postcommit.consumer_leases WHERE consumer = ${consumer} AND epoch = ${epoch})`;
}

/**
 * Ends the sessions of former instances: transactions with effects under another epoch, and whoever else holds the lock of
 * the active one. Returns how many there were: none are left when it returns 0. Does nothing once another epoch rules.
 */
export async function endPredecessors(
  run: Run,
  lease: ConsumerLease,
  { timeOnly }: { timeOnly: boolean },
): Promise<number> {
  const [consumer, epoch] = names(lease);
  const rows = await run(
    `SELECT count(pg_terminate_backend(pid))::text AS ended FROM (
       SELECT DISTINCT pid FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND pid <> pg_backend_pid()
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND (classid = ${unsigned(effectsOf(lease.consumer))}::bigint::oid AND objid <> ${epochKey(lease.epoch)}::oid
               ${timeOnly ? '' : `OR classid = ${SEATS}::oid AND objid = ${unsigned(lockKey(lease.consumer))}::bigint::oid`})
          AND ${leaseHeld({ consumer: '$1::text', epoch: '$2::text::bigint' })}) former`,
    [consumer, epoch],
  );
  return Number(rows[0]?.ended ?? 0);
}

/** After a takeover by time the session lock is still to be had: without it a standby would take the lease over. */
export async function holdConsumerLock(run: Run, { consumer }: ConsumerLease): Promise<boolean> {
  const key = lockKey(consumer);
  const rows = await run(
    `SELECT CASE WHEN EXISTS (
              SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = ${SEATS}::oid
                 AND objid = ${unsigned(key)}::bigint::oid AND pid = pg_backend_pid()
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
            THEN true ELSE pg_try_advisory_lock(${SEATS}, ${key}) END AS held`,
    [],
  );
  return isTrue(rows[0]);
}

/** First key of the two-part advisory lock of a consumer's active instance; spells "pose". */
const SEATS = 0x706f7365;

function names({ consumer, epoch }: ConsumerLease): [string, string] {
  return [consumer, String(epoch)];
}

/** Advisory lock keys are 32 bits. Two consumers that share one would each wait until the other's lease has run out. */
function lockKey(consumer: string): number {
  return hash(`seat ${consumer}`);
}

/** Of the consumers of this process: it is asked for with every event. */
const effectsKeys = new Map<string, number>();

function effectsOf(consumer: string): number {
  const key = effectsKeys.get(consumer) ?? hash(`effects ${consumer}`);
  effectsKeys.set(consumer, key);
  return key;
}

function hash(text: string): number {
  return createHash('sha256').update(text).digest().readInt32BE();
}

function epochKey(epoch: number): number {
  return epoch % 0x7fffffff;
}

/** As `pg_locks` shows a key. */
function unsigned(key: number): number {
  return key >>> 0;
}

function isTrue(row: Row | undefined): boolean {
  return row?.held === true || row?.held === 't';
}
