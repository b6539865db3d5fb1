import type { Session } from '../postgres/session.ts';

/** What was planned in one second of the database's clock. */
export interface PlannedSecond {
  /** Unix time in milliseconds. */
  readonly atMs: number;
  readonly events: number;
}

/** Rows in one look; of a log that grew by more since the last look, the newest. */
const ROWS_AT_MOST = 20_000;

/** How many events the rows behind `after` and up to `to` plan, by second, oldest first. A marker publishes none, nor does what was found. */
export async function plannedSince(
  session: Session,
  { stream, after, to }: { stream: string; after: number; to: number },
): Promise<PlannedSecond[]> {
  const rows = await session.query({
    name: 'postcommit_planned_since',
    text: `select floor(date_part('epoch', planned_at)) * 1000 as second, sum(upper(r) - lower(r))
             from (select * from postcommit.batches where stream = $1 and batch > $2 and batch <= $3
                    order by batch desc limit ${ROWS_AT_MOST}) b, unnest(positions) r
            where kind not in ('marker', 'found')
            group by second order by second`,
    values: [stream, after, to],
  });
  return rows.map(([second, events]) => ({ atMs: Number(second), events: Number(events) }));
}

/** How far a lane is, by its log. */
export interface LaneProgress {
  readonly stream: string;
  readonly incarnation: string;
  readonly ordering: string;
  readonly epoch: number;
  readonly batch: number;
  /** The highest sequence that is planned. */
  readonly lastSequence: number;
  /** Known to be stored when the last row was written; null before that. */
  readonly settledTo: number | null;
  /** Outside `stream` ordering: rows up to this one were settled. */
  readonly settledBatch: number | null;
  readonly readTo: number;
  /** Below `readTo`, if some positions there are still awaited. */
  readonly openFrom: number;
  readonly plannedAtMs: number;
}

/** The newest row of each stream's log. */
export async function laneProgress(session: Session): Promise<LaneProgress[]> {
  const rows = await session.query({
    name: 'postcommit_lane_progress',
    text: `with recursive streams as (
             (select stream from postcommit.batches order by stream limit 1)
             union all
             select (select b.stream from postcommit.batches b where b.stream > s.stream order by b.stream limit 1)
               from streams s where s.stream is not null)
           select b.* from streams s
             cross join lateral (
               select stream, incarnation, ordering, epoch, batch, last_sequence, settled_to, settled_batch, read_to, open_from,
                      date_part('epoch', planned_at) * 1000
                 from postcommit.batches b where b.stream = s.stream order by b.batch desc limit 1) b`,
  });
  return rows.map(([stream, incarnation, ordering, ...numbers]) => {
    const [epoch, batch, lastSequence, settledTo, settledBatch, readTo, openFrom, plannedAtMs] = numbers;
    return {
      stream: stream ?? '',
      incarnation: incarnation ?? '',
      ordering: ordering ?? '',
      epoch: Number(epoch),
      batch: Number(batch),
      lastSequence: Number(lastSequence),
      settledTo: settledTo == null ? null : Number(settledTo),
      settledBatch: settledBatch == null ? null : Number(settledBatch),
      readTo: Number(readTo),
      openFrom: Number(openFrom),
      plannedAtMs: Math.round(Number(plannedAtMs)),
    };
  });
}
