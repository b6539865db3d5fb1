import type { Session } from '../postgres/session.ts';

/** How full the cluster's queue of notifications is, from 0 to 1. Full, it fails commits that notify, anybody's. */
export async function notificationQueueUsage(session: Session): Promise<number> {
  const [row] = await session.query({
    name: 'postcommit_notification_queue',
    text: 'select pg_notification_queue_usage()',
  });
  return Number(row?.[0] ?? 0);
}
