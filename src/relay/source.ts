import type { Session } from '../postgres/session.ts';

/** The outbox's name in message headers: the database's name and the cluster's system identifier. */
export async function readSource(session: Session): Promise<string> {
  const [row] = await session.query({
    text: 'select current_database(), system_identifier from pg_control_system()',
  });
  return `${encodeURIComponent(row?.[0] ?? '')}@${row?.[1]}`;
}
