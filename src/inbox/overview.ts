import type { Session } from '../postgres/session.ts';

/** What the inbox holds of one consumer and stream, at its lowest place. */
export interface InboxExtent {
  readonly consumer: string;
  /** Null: recorded without one. */
  readonly stream: string | null;
  /** Null: recorded without a place. */
  readonly lowest: number | null;
  /** Since when it remembers the event there. */
  readonly oldestAgeMs: number;
}

/** By the ends of the index on places: the inbox may hold many millions of rows. */
export async function inboxExtents(session: Session): Promise<InboxExtent[]> {
  const rows = await session.query({
    text: `
with recursive places as (
  (select consumer, stream from postcommit.inbox order by consumer, stream limit 1)
  union all
  (select next.consumer, next.stream from places p cross join lateral (
     (select consumer, stream from postcommit.inbox i
       where i.consumer = p.consumer and i.stream > p.stream order by i.stream limit 1)
     union all
     (select consumer, stream from postcommit.inbox i
       where i.consumer = p.consumer and i.stream is null and p.stream is not null limit 1)
     union all
     (select consumer, stream from postcommit.inbox i
       where i.consumer > p.consumer order by i.consumer, i.stream limit 1)
     limit 1) next)
)
select p.consumer, p.stream, first.sequence, date_part('epoch', clock_timestamp() - first.recorded_at) * 1000
  from places p cross join lateral (
    (select i.sequence, i.recorded_at from postcommit.inbox i
      where i.consumer = p.consumer and i.stream = p.stream order by i.sequence limit 1)
    union all
    (select i.sequence, i.recorded_at from postcommit.inbox i
      where i.consumer = p.consumer and i.stream is null and p.stream is null order by i.sequence limit 1)
    limit 1) first
 limit 1000`,
  });
  return rows.map(([consumer, stream, lowest, age]) => ({
    consumer: consumer ?? '',
    stream: stream ?? null,
    lowest: lowest == null ? null : Number(lowest),
    oldestAgeMs: Number(age),
  }));
}

/** Whether the consumer remembers this event. */
export async function remembers(session: Session, consumer: string, eventId: string): Promise<boolean> {
  const [row] = await session.query({
    text: 'select exists (select from postcommit.inbox where consumer = $1 and event_id = $2)::text',
    values: [consumer, eventId],
  });
  return row?.[0] === 'true';
}
