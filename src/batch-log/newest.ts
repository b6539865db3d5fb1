import type { Session } from '../postgres/session.ts';
import type { Ordering } from './batch.ts';

/** The newest row of a stream's log, and what it says about the rows before it. */
export interface NewestRow {
  readonly stream: string;
  readonly batch: number;
  /** Rows of another one are older: their sequences are those of a stream that is no more. */
  readonly incarnation: string;
  readonly ordering: Ordering;
  readonly settledTo: number | null;
  readonly settledBatch: number | null;
  readonly readTo: number;
  readonly openFrom: number;
  readonly plannedAtMs: number;
}

/** One row a stream, by the ends of the primary key's index: the log may hold millions of rows. */
export async function newestRows(session: Session): Promise<NewestRow[]> {
  const rows = await session.query({
    name: 'postcommit_newest_rows',
    text: `with recursive streams as (
             (select stream from postcommit.batches order by stream limit 1)
             union all
             select (select b.stream from postcommit.batches b where b.stream > s.stream order by b.stream limit 1)
               from streams s where s.stream is not null)
           select b.stream, b.batch, b.incarnation, b.ordering, b.settled_to, b.settled_batch, b.read_to, b.open_from,
                  date_part('epoch', b.planned_at) * 1000
             from streams s
             cross join lateral (select * from postcommit.batches b where b.stream = s.stream
                                  order by b.batch desc limit 1) b`,
  });
  const orNull = (text: string | null | undefined) => (text == null ? null : Number(text));
  return rows.map((row) => ({
    stream: row[0] as string,
    batch: Number(row[1]),
    incarnation: row[2] as string,
    ordering: row[3] as Ordering,
    settledTo: orNull(row[4]),
    settledBatch: orNull(row[5]),
    readTo: Number(row[6]),
    openFrom: Number(row[7]),
    plannedAtMs: Number(row[8]),
  }));
}
