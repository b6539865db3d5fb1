import { readKeptEvents } from '../../dead-letters/letters.ts';
import type { StoredEvent } from '../../event.ts';
import { readPositions } from '../../outbox/read.ts';
import type { Session } from '../../postgres/session.ts';

/** As many events are in memory, or planned, at a time. */
const AT_ONCE = 500;

/** Positions in portions whose events may be loaded together. */
export function portionsOf(positions: readonly number[]): number[][] {
  return Array.from({ length: Math.ceil(positions.length / AT_ONCE) }, (_, i) =>
    positions.slice(i * AT_ONCE, (i + 1) * AT_ONCE),
  );
}

/** Events by position, from the outbox, or from their dead letters where its rows are gone. */
export async function eventsAt(
  session: Session,
  positions: readonly number[],
): Promise<Map<number, StoredEvent>> {
  const sorted = [...positions].sort((a, b) => a - b);
  const events = new Map((await readPositions(session, sorted)).map((event) => [event.position, event]));
  const missing = sorted.filter((position) => !events.has(position));
  for (const event of await readKeptEvents(session, missing)) events.set(event.position, event);
  return events;
}

/** Subjects of the events at these positions; those that nobody has any more are left out. */
export async function subjectsAt(
  session: Session,
  positions: readonly number[],
): Promise<ReadonlyMap<number, string>> {
  if (positions.length === 0) return new Map();
  const rows = await session.query({
    text: `select position, subject from postcommit.dead_letters where consumer is null and position = any($1::int8[])
           union all select position, subject from postcommit.outbox where position = any($1::int8[])`,
    values: [positions],
  });
  return new Map(rows.map(([position, subject]) => [Number(position), subject as string]));
}

/** Ids of the events at these positions; those whose content is gone are left out. */
export async function eventIdsAt(
  session: Session,
  positions: readonly number[],
): Promise<ReadonlyMap<number, string>> {
  const rows = await session.query({
    text: 'select position, event_id from postcommit.outbox where position = any($1::int8[])',
    values: [positions],
  });
  return new Map(rows.map(([position, eventId]) => [Number(position), eventId as string]));
}
