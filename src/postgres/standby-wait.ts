import type { Backend, Session } from './session.ts';

/**
 * Whether a commit of this backend waits for a synchronous standby now, which may take as long as it takes. Asked over
 * another session. Behind a pooler every backend of that name counts.
 */
export async function waitsForStandby(session: Session, { pid, name }: Backend): Promise<boolean> {
  const [row] = await session.query({
    text: `select exists (select from pg_stat_activity
                           where wait_event = 'SyncRep' and datname = current_database()
                             and case when $1::int is null then application_name = $2 else pid = $1 end)::text`,
    values: [pid, name],
  });
  return row?.[0] === 'true';
}
