import { formatMultirange, type PositionRanges } from '../postgres/position-ranges.ts';
import type { Session, TextRow } from '../postgres/session.ts';

/** A row of the outbox without its payload. */
export interface OutboxRow {
  readonly position: number;
  readonly segment: number;
  readonly eventId: string;
  readonly subject: string;
  readonly key: string | null;
  readonly type: string | null;
  readonly createdAtMs: number;
  readonly payloadBytes: number;
}

export interface OutboxQuery {
  /** Only below this position. */
  readonly before?: number | undefined;
  /** A subject, or a pattern with `*` and `>`. */
  readonly subject?: string | undefined;
  readonly key?: string | undefined;
  readonly type?: string | undefined;
  readonly eventId?: string | undefined;
  readonly limit: number;
}

/** Rows that one look goes through: a filter that hardly ever matches must not read the whole outbox. */
const LOOK_AT = 20_000;

const COLUMNS = `position, segment, event_id, subject, key, type, date_part('epoch', created_at) * 1000, octet_length(payload)`;

/** What one look found, and where the next one goes on. */
export interface OutboxPage {
  readonly rows: readonly OutboxRow[];
  /** The last position that was looked at; null where there is nothing beyond. */
  readonly lookedTo: number | null;
}

/** Rows of the outbox, newest first. */
export async function outboxPage(session: Session, query: OutboxQuery): Promise<OutboxPage> {
  const { before, subject, key, type, eventId, limit } = query;
  const rows = await session.query({
    text: `with looked as materialized (
             select position, segment, event_id, subject, key, type, created_at, octet_length(payload) as bytes
               from postcommit.outbox
              where position < $1 order by position desc limit ${LOOK_AT}),
           found as (
             select * from looked
              where ($2::text is null or subject ~ $2) and ($3::text is null or key = $3)
                and ($4::text is null or type = $4) and ($5::text is null or event_id::text = $5)
              order by position desc limit $6)
           select f.position, f.segment, f.event_id, f.subject, f.key, f.type, date_part('epoch', f.created_at) * 1000, f.bytes,
                  case when (select count(*) from found) = $6 then (select min(position) from found)
                       when (select count(*) from looked) = ${LOOK_AT} then (select min(position) from looked) end
             from (select) one left join found f on true order by f.position desc`,
    values: [
      before ?? Number.MAX_SAFE_INTEGER,
      subject === undefined ? null : patternToRegex(subject),
      key ?? null,
      type ?? null,
      eventId ?? null,
      limit,
    ],
  });
  const lookedTo = rows[0]?.[8];
  return {
    rows: rows.filter(([position]) => position !== null).map(toRow),
    lookedTo: lookedTo == null ? null : Number(lookedTo),
  };
}

/** The rows at these positions that the outbox still holds. */
export async function outboxRows(session: Session, positions: readonly number[]): Promise<OutboxRow[]> {
  if (positions.length === 0) return [];
  const rows = await session.query({
    name: 'postcommit_outbox_rows',
    text: `select ${COLUMNS} from postcommit.outbox where position = any($1::int8[]) order by position`,
    values: [positions],
  });
  return rows.map(toRow);
}

/** The beginning of a payload, and how long all of it is. */
export interface PayloadPart {
  readonly bytes: number;
  readonly part: Buffer;
}

/** The first bytes of a row's payload; null if the outbox does not hold it any more. */
export async function outboxPayload(
  session: Session,
  { position, atMost }: { position: number; atMost: number },
): Promise<PayloadPart | null> {
  const [row] = await session.query({
    text: `select octet_length(payload), substring(payload from 1 for $2)::text from postcommit.outbox where position = $1`,
    values: [position, atMost],
  });
  return row?.[1] == null ? null : { bytes: Number(row[0]), part: Buffer.from(row[1].slice(2), 'hex') };
}

/** What lies beyond a position and is visible. */
export interface Unread {
  /** Exact up to `COUNT_UP_TO`; beyond that the positions that were drawn, rolled-back ones among them. */
  readonly events: number;
  readonly exact: boolean;
  readonly oldestMs: number | null;
  /** The last position that was drawn. */
  readonly lastPosition: number;
}

const COUNT_UP_TO = 10_000;

/** Counts rows, not positions: after a rollback the last positions may never be filled. */
export async function unreadBeyond(session: Session, position: number): Promise<Unread> {
  const [row] = await session.query({
    name: 'postcommit_unread',
    text: `select (select count(*) from (select from postcommit.outbox where position > $1 limit ${COUNT_UP_TO + 1}) counted),
                  (select date_part('epoch', created_at) * 1000 from postcommit.outbox where position > $1
                    order by position limit 1),
                  coalesce(pg_sequence_last_value('postcommit.outbox_position_seq'), 0)`,
    values: [position],
  });
  const [counted, oldestMs, last] = row ?? [];
  const exact = Number(counted) <= COUNT_UP_TO;
  const lastPosition = Number(last);
  return {
    events: exact ? Number(counted) : Math.max(lastPosition - position, COUNT_UP_TO),
    exact,
    oldestMs: oldestMs == null ? null : Number(oldestMs),
    lastPosition,
  };
}

/** The rows between two positions, both included, that are not among those covered. */
export async function uncoveredRows(
  session: Session,
  { from, to, covered }: { from: number; to: number; covered: PositionRanges },
): Promise<{ events: number; oldestMs: number | null }> {
  const [row] = await session.query({
    name: 'postcommit_uncovered',
    text: `select count(*), min(date_part('epoch', created_at)) * 1000 from postcommit.outbox
            where position between $1 and $2 and not position <@ $3::int8multirange`,
    values: [from, to, formatMultirange(covered)],
  });
  return { events: Number(row?.[0] ?? 0), oldestMs: row?.[1] == null ? null : Number(row[1]) };
}

/** As NATS reads it: `*` is one token, `>` the rest. */
function patternToRegex(pattern: string): string {
  const tokens = pattern.split('.').map((token) => {
    if (token === '*') return '[^.]+';
    if (token === '>') return '.+';
    return token.replaceAll(/[\\^$.|?*+()[\]{}]/g, '\\$&');
  });
  return `^${tokens.join('\\.')}$`;
}

function toRow([position, segment, eventId, subject, key, type, createdAtMs, bytes]: TextRow): OutboxRow {
  return {
    position: Number(position),
    segment: Number(segment),
    eventId: eventId ?? '',
    subject: subject ?? '',
    key: key ?? null,
    type: type ?? null,
    createdAtMs: Number(createdAtMs),
    payloadBytes: Number(bytes),
  };
}
