import type { Session } from '../postgres/session.ts';

/** How long ago, in milliseconds, the newest row of a stream's log was written; undefined if it has none. */
export async function plannedAgo(session: Session, stream: string): Promise<number | undefined> {
  const [row] = await session.query({
    text: `select date_part('epoch', clock_timestamp() - planned_at) * 1000
             from postcommit.batches where stream = $1 order by batch desc limit 1`,
    values: [stream],
  });
  return row === undefined ? undefined : Number(row[0]);
}
