import { createOrigins } from '../../batch-log/origins.ts';
import { positionBefore } from '../../batch-log/planned-since.ts';
import { createSubjectFilter } from '../../jetstream/subjects.ts';
import type { Session } from '../../postgres/session.ts';
import type { ReplayDetail } from './details.ts';
import { positionsBySequence } from './positions-by-sequence.ts';

/** An event that a replay means, without its content. */
export interface ChosenEvent {
  readonly position: number;
  readonly subject: string;
  /** Of the payload. */
  readonly bytes: number;
  /** When it was inserted, ISO 8601 in UTC. */
  readonly insertedAt: string;
  /** The stream that it was planned for; undefined: none yet. */
  readonly stream: string | undefined;
  /** Set aside as a dead letter: it was never published, or was given up. */
  readonly dead: boolean;
}

export interface ChosenPage {
  /** In position order. */
  readonly events: readonly ChosenEvent[];
  /** Rows of the outbox that were looked at for them. */
  readonly rows: number;
  /** Everything up to this position was looked at. */
  readonly lookedTo: number;
  /** There is nothing more up to the end. */
  readonly last: boolean;
}

/** Which events of the outbox a replay means. */
export interface Chosen {
  /** None of them lies at or below this position. */
  readonly start: number;
  /** Of those chosen by sequence: how many the log names. The outbox may not hold all of them any more. */
  readonly named: number | undefined;
  /** Looks at some hundred rows behind a position, none above `end`. */
  page(options: { above: number; end: number }): Promise<ChosenPage>;
}

/** Rows of the outbox that one statement looks at. On the relay's own session, where plans wait for it. */
const ROWS_A_PAGE = 1_000;

/** A text says why there are none. */
export async function chooseEvents(session: Session, wish: ReplayDetail): Promise<Chosen | string> {
  const sequenced = await positionsBySequence(session, wish);
  if (typeof sequenced === 'string') return sequenced;
  const matches = wish.subject === undefined ? () => true : createSubjectFilter([wish.subject]);
  const origins = createOrigins(session);
  // What lies at sequences of the stream is told by these already: a copy there is of an event that may have another.
  const isOfStream = (stream: string | undefined) =>
    wish.stream === undefined || sequenced !== undefined || stream === wish.stream;
  const youngerThan = wish.since === undefined ? 0 : await positionBefore(session, wish.since);
  return {
    start: Math.max((wish.fromPosition ?? 1) - 1, youngerThan),
    named: sequenced?.length,
    async page({ above, end }) {
      const to = Math.min(end, wish.toPosition ?? end);
      const page = await readPage(session, wish, { above, to, sequenced });
      const events: ChosenEvent[] = [];
      for (const row of page.rows.filter(({ subject }) => matches(subject))) {
        const stream = row.dead ? undefined : (row.retriedOn ?? (await origins.of(row.position)));
        if (isOfStream(stream)) events.push({ ...row, stream });
      }
      return { events, rows: page.looked, lookedTo: page.lookedTo, last: page.last };
    },
  };
}

interface Row extends Omit<ChosenEvent, 'stream'> {
  /** The stream of its retry, long after its neighbours were planned. */
  readonly retriedOn: string | undefined;
}

interface PageRequest {
  readonly above: number;
  readonly to: number;
  /** Only these, which are sorted. */
  readonly sequenced: readonly number[] | undefined;
}

interface Page {
  readonly rows: readonly Row[];
  readonly looked: number;
  readonly lookedTo: number;
  readonly last: boolean;
}

async function readPage(session: Session, wish: ReplayDetail, request: PageRequest): Promise<Page> {
  const { above, to, sequenced } = request;
  const wanted = sequenced && firstWithin(sequenced, above, to);
  const keys = wish.key === undefined ? wish.keys : [wish.key, ...(wish.keys ?? [])];
  const rows = await session.query({
    name: wanted === undefined ? 'postcommit_chosen' : 'postcommit_chosen_positions',
    text: pageStatement(
      wanted === undefined ? 'position > $1 and position <= $2' : 'position = any($1::int8[])',
    ),
    values: [
      ...(wanted === undefined ? [above, to] : [wanted, null]),
      wish.since ?? null,
      wish.until ?? null,
      keys ?? null,
    ],
  });
  const facts = rows.find(([position]) => position === null);
  const looked = Number(facts?.[1] ?? 0);
  const end = wanted === undefined ? facts?.[2] : wanted.at(-1);
  return {
    rows: rows
      .filter((row) => row !== facts)
      .map(toRow)
      .sort((a, b) => a.position - b.position)
      .filter(({ position }, i, all) => position !== all[i - 1]?.position), // Twins: the log knows one of them.
    looked,
    lookedTo: end == null ? to : Number(end),
    last: (wanted?.length ?? looked) < ROWS_A_PAGE,
  };
}

/** Found by halves: there may be a million of them. */
function firstWithin(sorted: readonly number[], above: number, to: number): readonly number[] {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((sorted[middle] ?? 0) <= above) low = middle + 1;
    else high = middle;
  }
  return sorted.slice(low, low + ROWS_A_PAGE).filter((position) => position <= to);
}

/** One row more says how many were looked at, and up to where. */
function pageStatement(where: string): string {
  return `with page as materialized (
            select position, subject, key, created_at, octet_length(payload) as bytes from postcommit.outbox
             where ${where} and ($2::int8 is null or position <= $2) order by position limit ${ROWS_A_PAGE})
          select p.position::text, p.bytes::text, p.subject,
                 to_char(p.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                 (d.state in ('marking', 'parked', 'held', 'discarded'))::text, d.stream
            from page p left join postcommit.dead_letters d on d.consumer is null and d.position = p.position
           where ($3::timestamptz is null or p.created_at >= $3) and ($4::timestamptz is null or p.created_at < $4)
             and ($5::text[] is null or p.key = any($5))
          union all select null, count(*)::text, max(position)::text, null, null, null from page`;
}

function toRow([position, bytes, subject, insertedAt, dead, stream]: readonly (string | null)[]): Row {
  return {
    position: Number(position),
    bytes: Number(bytes),
    subject: subject as string,
    insertedAt: insertedAt as string,
    dead: dead === 'true',
    retriedOn: dead === 'false' ? (stream ?? undefined) : undefined,
  };
}
