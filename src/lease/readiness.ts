import type { Session } from '../postgres/session.ts';

/** First key of a two-part advisory lock that every standby shares which could publish; spells "posu". */
const READY_NAMESPACE = 0x706f7375;

/** Says that this relay could publish, or no longer says so. Behind a pooler there is no session to say it with. */
export async function declareReady(session: Session, ready: boolean): Promise<void> {
  if (session.pooled) return;
  const change = ready ? 'pg_advisory_lock_shared' : 'pg_advisory_unlock_shared';
  await session.query({ text: `select ${change}($1, 0)`, values: [READY_NAMESPACE] });
}

/** Whether a standby, other than this session's, says that it could publish. */
export async function isAnotherReady(session: Session): Promise<boolean> {
  if (session.pooled) return false;
  const [row] = await session.query({
    text: `select exists (select from pg_locks
                           where locktype = 'advisory' and objsubid = 2 and classid = $1::oid and granted
                             and database = (select oid from pg_database where datname = current_database())
                             and pid <> pg_backend_pid())::text`,
    values: [READY_NAMESPACE],
  });
  return row?.[0] === 'true';
}
