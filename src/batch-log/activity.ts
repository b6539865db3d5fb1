import type { Session } from '../postgres/session.ts';

/** What was planned in one second of the database's clock. */
export interface PlannedSecond {
  /** Unix time in milliseconds. */
  readonly atMs: number;
  readonly events: number;
}

/** A busy relay writes some forty rows a second: half an hour of that. */
const ROWS_AT_MOST = 100_000;

/** How many events the rows behind `after` and up to `to` plan, by second, oldest first: of the last half hour. A marker publishes none, nor does what was found. */
export async function plannedSince(
  session: Session,
  { stream, after, to }: { stream: string; after: number; to: number },
): Promise<PlannedSecond[]> {
  const rows = await session.query({
    name: 'postcommit_planned_since',
    text: `select floor(date_part('epoch', planned_at)) * 1000 as second, sum(last_sequence - first_sequence + 1)
             from (select * from postcommit.batches where stream = $1 and batch > $2 and batch <= $3
                    order by batch desc limit ${ROWS_AT_MOST}) b
            where kind not in ('marker', 'found') and planned_at > clock_timestamp() - interval '30 minutes'
              and last_sequence >= first_sequence
            group by second order by second`,
    values: [stream, after, to],
  });
  return rows.map(([second, events]) => ({ atMs: Number(second), events: Number(events) }));
}
