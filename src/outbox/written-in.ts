import { PostcommitError } from '../errors.ts';
import type { Row, Transaction } from '../postgres/transaction-handle.ts';

/** An event as a transaction has written it. */
export interface WrittenEvent {
  readonly position: number;
  readonly eventId: string;
  readonly subject: string;
  readonly key: string | null;
  readonly type: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Buffer;
}

/**
 * The events that the caller's transaction has written so far, in order, whatever wrote them. Rows of a savepoint that was
 * rolled back are not among them.
 *
 * @throws PostcommitError `outside-transaction`, `migration-missing`, or `database-unsuitable` where its role may not read
 * the outbox. The transaction goes on.
 */
export async function eventsWrittenIn(transaction: Transaction): Promise<WrittenEvent[]> {
  const beganAt = await requireReadable(transaction);
  const rows = await transaction.run(WRITTEN, []);
  // `now()` stands still within a transaction, and in autocommit it cannot: it is how a handle that tells nothing is found out.
  if (rows[0]?.began !== beganAt)
    throw new PostcommitError(
      'outside-transaction',
      'the handle is not on the connection of a transaction',
      'Ask within the transaction that wrote the events, before its commit.',
    );
  return rows.filter(({ position }) => position !== null).map(toEvent);
}

/** Names of results are single words: a query builder may write others in another way. A statement that fails would end the caller's transaction: asked first. */
async function requireReadable(transaction: Transaction): Promise<string> {
  const [row] = await transaction.run(
    `SELECT now()::text AS began, current_user::text AS role,
            CASE WHEN to_regclass('postcommit.outbox') IS NULL THEN 'missing'
                 WHEN has_table_privilege(to_regclass('postcommit.outbox'), 'SELECT') THEN 'readable' END AS outbox`,
    [],
  );
  if (row?.outbox === 'missing')
    throw new PostcommitError(
      'migration-missing',
      'the database has no outbox',
      'Run `postcommit migrate` on this database.',
    );
  if (row?.outbox !== 'readable')
    throw new PostcommitError(
      'database-unsuitable',
      `the role '${row?.role}' may write the outbox and not read it`,
      'In the database of the tests, grant it SELECT on postcommit.outbox.',
    );
  return String(row.began);
}

/**
 * Uncommitted rows of others are invisible, so that a visible row whose transaction is in progress is the caller's own:
 * its own id, or that of one of its savepoints, which are younger. `xmin` has 32 bits and is widened by the distance from
 * the transaction's own id. The row must be of these days as well: in one that was frozen long ago the same bits may mean
 * an id that is yet to come, which `pg_xact_status` refuses.
 */
const WRITTEN = `
  WITH own AS MATERIALIZED (SELECT pg_current_xact_id_if_assigned()::text::bigint AS id, 4294967296 AS ids),
       aged AS (
         SELECT position, event_id, subject, key, type, headers, payload, created_at, own.id,
                (xmin::text::bigint - own.id % own.ids + own.ids) % own.ids AS younger_by
           FROM postcommit.outbox, own
          WHERE own.id IS NOT NULL),
       written AS (
         SELECT * FROM aged
          WHERE CASE WHEN created_at > now() - interval '1 hour' AND younger_by < 2147483648
                     THEN pg_xact_status((id + younger_by)::text::xid8) = 'in progress' END)
  SELECT now()::text AS began, position::text AS position, event_id::text AS id, subject, key, type,
         headers::text AS headers, encode(payload, 'base64') AS payload
    FROM (SELECT) AS one LEFT JOIN written ON true
   ORDER BY written.position`;

function toEvent(row: Row): WrittenEvent {
  return {
    position: Number(row.position),
    eventId: String(row.id),
    subject: String(row.subject),
    key: textOrNull(row.key),
    type: textOrNull(row.type),
    headers: JSON.parse(String(row.headers)) as Record<string, string>,
    payload: Buffer.from(String(row.payload), 'base64'),
  };
}

function textOrNull(value: unknown): string | null {
  return value == null ? null : String(value);
}
