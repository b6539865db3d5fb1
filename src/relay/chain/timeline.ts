import { type BrokerLink, type ReadBack, readBack } from '../../jetstream/index.ts';
import type { Session } from '../../postgres/session.ts';

/**
 * What the database knows of messages that carry its outbox's name. After a failover to a standby that was behind, or a
 * restore, the stream holds messages of a timeline that the database has left: their events are gone, and their positions
 * may be drawn again. So a message is an event's only if position *and* event id agree; the position alone says nothing.
 */
export interface Timeline {
  /** Sequences of messages whose event the database does not have. They are a stranger's, though the source is ours. */
  readonly strays: ReadonlySet<number>;
  /** Sequence to position, of messages (markers too) whose event the database has. */
  readonly ours: ReadonlyMap<number, number>;
  /** Sequences of messages of ours under another subject than their event's: copies, which do not stand for the event. */
  readonly copies: ReadonlySet<number>;
  /** The highest position that any message of our source carries, 0 if there is none: never to be drawn again. */
  readonly highestPosition: number;
}

/** As many positions are looked up at a time. */
const CHUNK = 5_000;

/**
 * Looks the messages' events up in the outbox, and in the dead letters, which outlive it. A message whose position lies
 * below everything the outbox retains is ours: its row was emptied with its leaf, long after it was stored.
 */
export async function traceTimeline(
  session: Session,
  messages: readonly ReadBack[],
  source: string,
): Promise<Timeline> {
  const named = messages.flatMap((message) => toNamed(message, source));
  const strays = new Set<number>();
  const ours = new Map<number, number>();
  const copies = new Set<number>();
  let highestPosition = 0;
  for (let i = 0; i < named.length; i += CHUNK) {
    const chunk = named.slice(i, i + CHUNK);
    const suspects = await suspectsAmong(session, chunk);
    chunk.forEach(({ sequence, position }, index) => {
      highestPosition = Math.max(highestPosition, position);
      if (suspects.get(index) === 'stray') strays.add(sequence);
      else ours.set(sequence, position);
      if (suspects.get(index) === 'copy') copies.add(sequence);
    });
  }
  return { strays, ours, copies, highestPosition };
}

/** So many messages are read at a time. */
const PAGE = 2_048;

export interface Beyond {
  readonly session: Session;
  readonly link: BrokerLink;
  readonly stream: string;
  readonly source: string;
  /** The first sequence behind the plan, and the stream's last. */
  readonly from: number;
  readonly to: number;
  readonly signal: AbortSignal;
}

/**
 * Traces what lies behind the plan, page by page until one holds nothing in our name: what a database that fell back has
 * forgotten begins right there, and other writers may have added millions. `foundAt` is called for each event (not for
 * markers, and not for copies under a prefix) that the database still has.
 */
export async function traceBeyond(
  { session, link, stream, source, from, to, signal }: Beyond,
  foundAt: (found: { position: number; sequence: number; eventId: string | null }) => void,
): Promise<Timeline> {
  const strays = new Set<number>();
  const ours = new Map<number, number>();
  const copies = new Set<number>();
  let highestPosition = 0;
  for (let next = from; next <= to; next += PAGE) {
    const last = Math.min(to, next + PAGE - 1);
    const messages = await readBack(link, { stream, from: next, to: last, signal });
    const page = await traceTimeline(session, messages, source);
    if (page.highestPosition === 0) break;
    highestPosition = Math.max(highestPosition, page.highestPosition);
    for (const sequence of page.strays) strays.add(sequence);
    for (const sequence of page.copies) copies.add(sequence);
    for (const [sequence, position] of page.ours) ours.set(sequence, position);
    for (const found of eventsIn(messages, page)) foundAt(found);
  }
  return { strays, ours, copies, highestPosition };
}

function eventsIn(messages: readonly ReadBack[], { ours, copies }: Timeline) {
  return messages.flatMap((message) => {
    if (message.kind === 'gone' || message.skipped !== null) return [];
    const { sequence, eventId } = message;
    const position = ours.get(sequence);
    return position === undefined || copies.has(sequence) ? [] : [{ position, sequence, eventId }];
  });
}

/** The messages as a judgement by source and position may see them: strays lose the name that is not theirs. */
export function disown(messages: readonly ReadBack[], { strays }: Pick<Timeline, 'strays'>): ReadBack[] {
  return messages.map((message) =>
    message.kind === 'message' && strays.has(message.sequence) ? { ...message, source: null } : message,
  );
}

interface Named {
  readonly sequence: number;
  readonly position: number;
  /** Of the event, or of the one that a marker stands for. */
  readonly eventId: string;
  /** Null for a marker: its subject is no event's. */
  readonly subject: string | null;
}

function toNamed(message: ReadBack, source: string): Named[] {
  if (message.kind !== 'message' || message.source !== source || message.position === null) return [];
  const { sequence, position, eventId, skipped, subject } = message;
  if (skipped !== null) return [{ sequence, position, eventId: skipped, subject: null }];
  return [{ sequence, position, eventId: eventId ?? '', subject }];
}

/** By index: those whose event the database does not have, or has under another subject. */
async function suspectsAmong(
  session: Session,
  named: readonly Named[],
): Promise<ReadonlyMap<number, 'stray' | 'copy'>> {
  const rows = await session.query({
    text: `with retained as materialized (
             select coalesce((select min(position) from postcommit.outbox),
                             (select max(read_to) + 1 from postcommit.batches), 1) as low)
           select m.i - 1, (e.subject is not null)::text
             from retained, unnest($1::int8[], $2::text[], $3::text[]) with ordinality m(position, event_id, subject, i)
             left join lateral (
               select o.subject from postcommit.outbox o
                where o.position = m.position and o.event_id::text = m.event_id
               union all
               select d.subject from postcommit.dead_letters d where d.consumer is null
                  and d.position = m.position and d.event_id = m.event_id limit 1) e on true
            where m.position >= retained.low and (e.subject is null or e.subject <> m.subject)`,
    values: [
      named.map(({ position }) => position),
      named.map(({ eventId }) => eventId),
      named.map(({ subject }) => subject),
    ],
  });
  return new Map(rows.map(([index, known]) => [Number(index), known === 'true' ? 'copy' : 'stray']));
}
