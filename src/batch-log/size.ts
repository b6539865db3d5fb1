import type { Session } from '../postgres/session.ts';
import { withoutWaiting } from '../postgres/without-waiting.ts';

/** Bytes of the batch log on disk, with its indexes; `busy`: somebody keeps everyone out of it (a VACUUM FULL). */
export async function logBytes(session: Session): Promise<number | 'busy'> {
  const rows = await withoutWaiting(session, () =>
    session.query({
      name: 'postcommit_log_bytes',
      text: "select pg_total_relation_size('postcommit.batches')",
    }),
  );
  return rows === 'busy' ? 'busy' : Number(rows[0]?.[0] ?? 0);
}
