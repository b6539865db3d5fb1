import type { Session } from '../postgres/session.ts';
import { type ChosenEvent, chooseEvents } from '../relay/operator/chosen-events.ts';
import type { ReplayDetail } from '../relay/operator/details.ts';

/** What a replay would publish, as outbox and log say; the relay is not asked. */
export interface ReplayCount {
  readonly events: number;
  /** Of their payloads. */
  readonly bytes: number;
  /** Null: there are none. */
  readonly from: Place | null;
  readonly to: Place | null;
  /** For which stream they were planned. */
  readonly streams: readonly StreamShare[];
  /** Chosen, and left out: dead letters, and what has not been published yet. */
  readonly deadLetters: number;
  readonly unpublished: number;
  /** Where the outbox begins: what came before is there no more. Null: it is empty. */
  readonly outboxFrom: Place | null;
  /** Of those chosen by sequence, how many the outbox does not hold any more; null where that cannot be known. */
  readonly gone: number | null;
  /** The event whose subject is the longest, for a prefix. */
  readonly longestSubject: { readonly position: number; readonly bytes: number } | null;
}

export interface Place {
  readonly position: number;
  readonly insertedAt: string;
}

export interface StreamShare {
  readonly stream: string;
  readonly events: number;
  readonly from: number;
  readonly to: number;
}

/** Looks through what is chosen, page by page. A text says what is wrong with the choice. */
export async function countReplay(
  session: Session,
  wish: ReplayDetail,
  onProgress: (progress: { events: number; share: number }) => void,
): Promise<ReplayCount | string> {
  const chosen = await chooseEvents(session, wish);
  if (typeof chosen === 'string') return chosen;
  const edges = await edgesOf(session);
  const end = Math.min(edges.last, wish.toPosition ?? edges.last);
  const tally = createTally();
  let rows = 0;
  const begin = Math.max(chosen.start, (edges.first?.position ?? 1) - 1);
  for (let above = begin; ; ) {
    const page = await chosen.page({ above, end });
    rows += page.rows;
    for (const event of page.events) tally.add(event);
    if (page.last) break;
    above = page.lookedTo;
    onProgress({ events: tally.events, share: (above - begin) / Math.max(1, end - begin) });
  }
  const gone = chosen.named === undefined ? null : chosen.named - rows;
  return { ...tally.result(), outboxFrom: edges.first, gone };
}

async function edgesOf(session: Session): Promise<{ first: Place | null; last: number }> {
  const [row] = await session.query({
    text: `select (select position from postcommit.outbox order by position limit 1),
                  (select to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                     from postcommit.outbox order by position limit 1),
                  (select position from postcommit.outbox order by position desc limit 1)`,
  });
  const [position, insertedAt, last] = row ?? [];
  const first = position == null ? null : { position: Number(position), insertedAt: insertedAt as string };
  return { first, last: Number(last ?? 0) };
}

function createTally() {
  const streams = new Map<string, { events: number; from: number; to: number }>();
  const counts = { events: 0, bytes: 0, deadLetters: 0, unpublished: 0 };
  let [from, to]: (Place | null)[] = [null, null];
  let longestSubject: ReplayCount['longestSubject'] = null;
  return {
    get events() {
      return counts.events;
    },
    add({ position, subject, insertedAt, bytes, stream, dead }: ChosenEvent): void {
      if (dead) counts.deadLetters++;
      else if (stream === undefined) counts.unpublished++;
      if (dead || stream === undefined) return;
      counts.events++;
      counts.bytes += bytes;
      to = { position, insertedAt };
      from ??= to;
      const share = streams.get(stream) ?? { events: 0, from: position, to: position };
      streams.set(stream, { ...share, events: share.events + 1, to: position });
      const length = Buffer.byteLength(subject);
      if (length > (longestSubject?.bytes ?? 0)) longestSubject = { position, bytes: length };
    },
    result: () => ({
      ...counts,
      from: from ?? null,
      to: to ?? null,
      streams: [...streams].map(([stream, share]) => ({ stream, ...share })),
      longestSubject,
    }),
  };
}
