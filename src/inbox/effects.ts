import type { Session } from '../postgres/session.ts';

/** When a consumer, whose inbox is in this database, recorded an event. */
export interface RecordedEffect {
  readonly consumer: string;
  readonly eventId: string;
  readonly atMs: number;
}

/** The consumers that have recorded anything here, by the ends of the primary key's index. */
export async function inboxConsumers(session: Session): Promise<string[]> {
  const rows = await session.query({
    name: 'postcommit_inbox_consumers',
    text: `with recursive consumers as (
             (select consumer from postcommit.inbox order by consumer limit 1)
             union all
             select (select i.consumer from postcommit.inbox i where i.consumer > c.consumer order by i.consumer limit 1)
               from consumers c where c.consumer is not null)
           select consumer from consumers where consumer is not null limit 1000`,
  });
  return rows.map(([consumer]) => consumer ?? '');
}

/** Which of these events which of these consumers have recorded. */
export async function recordedEffects(
  session: Session,
  { consumers, eventIds }: { consumers: readonly string[]; eventIds: readonly string[] },
): Promise<RecordedEffect[]> {
  if (consumers.length === 0 || eventIds.length === 0) return [];
  const rows = await session.query({
    name: 'postcommit_recorded_effects',
    text: `select i.consumer, i.event_id, date_part('epoch', i.recorded_at) * 1000
             from unnest($1::text[]) c (consumer) cross join unnest($2::text[]) e (id)
             join postcommit.inbox i on i.consumer = c.consumer and i.event_id = e.id
            order by i.recorded_at`,
    values: [consumers, eventIds],
  });
  return rows.map(([consumer, eventId, atMs]) => ({
    consumer: consumer ?? '',
    eventId: eventId ?? '',
    atMs: Number(atMs),
  }));
}
