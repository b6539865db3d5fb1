import type { StoredEvent } from '../event.ts';
import type { Columns } from '../postgres/columns.ts';
import type { PositionRanges } from '../postgres/position-ranges.ts';
import type { Session, Statement } from '../postgres/session.ts';
import { type GapSpans, spansOf } from './gap-spans.ts';
import { SEGMENTS } from './live-segments.ts';

export interface ReadRequest {
  /** Positions above it are new. */
  readonly cursor: number;
  /** Ranges at or below the cursor to look into as well, in the same snapshot. */
  readonly gaps: PositionRanges;
  /** Leave out what lies beyond the cursor. */
  readonly gapsOnly: boolean;
  /** Transactions that must still be in progress in the read's snapshot. */
  readonly gate: readonly bigint[];
  /** Leaves that may hold unread rows. */
  readonly segments: readonly number[];
  /** Where to look for rows in the other leaves too; null: nowhere, or there are no others. */
  readonly strays: { readonly from: number; readonly to: number } | null;
  /** At most so many events. */
  readonly limit: number;
  /** Much is expected: the last read was cut off. */
  readonly many: boolean;
  /** The last read met large payloads: sizes are measured from the start, not in a second try. */
  readonly large: boolean;
}

export interface ReadResult {
  /** In position order. */
  readonly events: readonly StoredEvent[];
  /** The limit, by number or by bytes, may have cut something off above the last event. */
  readonly cut: boolean;
  /** The last position drawn when the read took place. */
  readonly lastPosition: number;
  /** The leaf that inserts go to. */
  readonly segment: number;
  /** A transaction of the gate has ended: the read must be repeated. */
  readonly gateOpened: boolean;
  /** Leaves besides those read that have rows where strays were looked for. */
  readonly straySegments: readonly number[];
  /** Some payload was so large that as many of them as the limit allows would be too much to read. */
  readonly large: boolean;
}

/** Payload bytes after which a read stops, so that memory is bounded whatever the sizes. */
const MAX_READ_BYTES = 8 * 1024 * 1024;

/**
 * Settings that keep the plan independent of statistics: the leaves are never analysed, and a sequential scan of one
 * would cost more with every event.
 */
export const READ_SETTINGS = {
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  bytea_output: 'hex',
  jit: 'off',
  max_parallel_workers_per_gather: '0',
  default_transaction_isolation: 'read committed',
} as const;

/**
 * For a session that does nothing but look: nor does the plan depend on parameters. PostgreSQL would think of few spans of
 * gaps that planning anew pays, and would spend more on that, for each poll, than on reading.
 */
export const LOOK_SETTINGS = { ...READ_SETTINGS, plan_cache_mode: 'force_generic_plan' } as const;

/** Reads the lowest visible positions, of the gaps and beyond the cursor, in one snapshot. */
export async function readEvents(session: Session, request: ReadRequest): Promise<ReadResult> {
  const quick = request.large ? undefined : await readOnce(session, request, 'small');
  return quick ?? (await readOnce(session, request, 'any')) ?? unreadable();
}

/**
 * `any`: the database adds up sizes, which bounds what is read, for a fifth of its cost. As long as payloads are small,
 * `small` does without: it leaves out what exceeds an equal share of the bound, and if anything does, that read does not count.
 */
type Sizes = 'small' | 'any';

/** Undefined when a payload was left out. */
async function readOnce(
  session: Session,
  request: ReadRequest,
  sizes: Sizes,
): Promise<ReadResult | undefined> {
  let facts: Facts | undefined;
  let bytes = 0;
  let largest = 0;
  let leftOut = false;
  const events: StoredEvent[] = [];
  await session.read(readStatement(request, sizes), {
    many: request.many,
    onRow(columns) {
      const position = columns.integer();
      if (position === null) {
        facts = toFacts(columns);
        return;
      }
      const event = toStoredEvent(position, columns);
      if (event === undefined) {
        leftOut = true;
        return;
      }
      const { length } = event.payload;
      bytes += length;
      if (length > largest) largest = length;
      events.push(event);
    },
  });
  if (leftOut) return undefined;
  if (facts === undefined) throw new Error('the read brought no facts back');
  assertAscending(events);
  return {
    ...facts,
    events: withoutTwins(events),
    cut: events.length >= request.limit || bytes >= MAX_READ_BYTES,
    large: largest > smallBytes(request.limit),
  };
}

function unreadable(): never {
  throw new Error('the read left a payload out');
}

/** Payloads up to this size are bounded by the limit of a read. */
function smallBytes(limit: number): number {
  return Math.floor(MAX_READ_BYTES / limit);
}

type Facts = Pick<ReadResult, 'lastPosition' | 'segment' | 'gateOpened' | 'straySegments'>;

function toFacts(columns: Columns): Facts {
  const [lastPosition, segment, gateOpened, strays] = [
    columns.text(),
    columns.text(),
    columns.text(),
    columns.text(),
  ];
  columns.text();
  columns.bytes();
  columns.float();
  // Without SELECT on it PostgreSQL 17 and newer say null: taken for leaf 0, rows elsewhere would never be read.
  if (segment === null)
    throw new Error('the sequence postcommit.segment tells no value (is SELECT on it granted?)');
  return {
    lastPosition: Number(lastPosition ?? 0),
    segment: Number(segment),
    gateOpened: gateOpened === 'true',
    straySegments: (strays ?? '').split(',').filter(Boolean).map(Number),
  };
}

/**
 * Of the columns behind the position: event id, subject, key, type, headers, payload, and the epoch's seconds of its
 * insertion. Undefined when the payload was left out.
 */
function toStoredEvent(position: number, columns: Columns): StoredEvent | undefined {
  const eventId = columns.text() as string;
  const subject = columns.text() as string;
  const key = columns.text();
  const type = columns.text();
  const headers = columns.text();
  const payload = columns.bytes();
  const created = columns.float() as number;
  if (payload === null) return undefined;
  return {
    position,
    eventId,
    subject,
    key,
    type,
    headers: headers === null ? null : (JSON.parse(headers) as Record<string, string>),
    payload,
    createdAtMs: created * 1000,
  };
}

/** Leaves and limit are literals: they are few, and the planner then prunes and chooses the index. */
function readStatement(request: ReadRequest, sizes: Sizes): Statement {
  const { cursor, gaps, gapsOnly, gate, segments, strays, limit } = request;
  const values: unknown[] = [];
  const parameter = (value: unknown, type: string) => `$${values.push(value)}::${type}`;
  const gateOpened =
    gate.length > 0 &&
    `exists (select from unnest(${parameter(gate.map(String), 'text[]')}) x
               where pg_visible_in_snapshot(x::xid8, pg_current_snapshot()))`;
  const facts = `select null::int8, pg_sequence_last_value('postcommit.outbox_position_seq')::text,
    pg_sequence_last_value('postcommit.segment')::text, (${gateOpened})::text, ${strays === null ? 'null' : straysAmong(segments, parameter(strays.from, 'int8'), parameter(strays.to, 'int8'))},
    null, null::bytea, null::float8`;
  const sources: string[] = [];
  const spans = spansOf(gaps, segments.length);
  if (gaps.length > 0) sources.push(inSpans(spans, { segments, limit, parameter }));
  if (!gapsOnly) sources.push(lowest(segments, `position > ${parameter(cursor, 'int8')}`, limit));
  // A read that has to be repeated need not bring anything.
  const candidates = `${candidatesOf(sources)} u ${gateOpened === false ? '' : `where not (select ${gateOpened})`}`;
  const events = sizes === 'small' ? smallOf(candidates, limit) : measuredOf(candidates, limit);
  const shape = [
    gaps.length === 0 ? '' : spans.bits === null ? 'g' : 'd',
    gapsOnly ? 'o' : '',
    gate.length > 0 ? 'x' : '',
    segments.join(''),
    limit,
    strays === null ? '' : 's',
    sizes === 'any' ? 'b' : '',
  ];
  return { name: `postcommit_read_${shape.join('_')}`, text: `${facts} union all ${events}`, values };
}

/** The lowest rows in gaps: those of one span after the other, until there are enough. */
function inSpans(
  { low, high, origin, bits }: GapSpans,
  {
    segments,
    limit,
    parameter,
  }: Pick<ReadRequest, 'segments' | 'limit'> & { parameter: (value: unknown, type: string) => string },
): string {
  const within = 'position between g.low and g.high';
  const ends = `${parameter(arrayOf(low), 'int8[]')}, ${parameter(arrayOf(high), 'int8[]')}`;
  const rowsIn = (spans: string, condition: string) =>
    `(select r.* from unnest(${spans} cross join lateral ${lowest(segments, condition, limit)} r limit ${limit})`;
  if (bits === null) return rowsIn(`${ends}) g(low, high)`, within);
  const spans = `${ends}, ${parameter(arrayOf(origin), 'int8[]')}) g(low, high, origin)`;
  // In a subquery, which is run once: as a setting of the transaction it would be parsed anew for every row.
  const bit = `get_bit((select ${parameter(`\\x${bits.toString('hex')}`, 'bytea')}), position - g.origin)`;
  return rowsIn(spans, `${within} and case when g.origin is null then true else ${bit} = 1 end`);
}

/** The lowest rows of all sources, but for payloads that are not small. */
function smallOf(candidates: string, limit: number): string {
  return `(select position, event_id::text, subject, key, type, headers::text,
           case when octet_length(payload) <= ${smallBytes(limit)} then payload end, created
      from ${candidates} order by position limit ${limit})`;
}

/** The lowest rows of all sources, as many as are not too much together. */
function measuredOf(candidates: string, limit: number): string {
  return `select position, event_id::text, subject, key, type, headers::text, payload, created from (
      select c.*, sum(octet_length(payload)) over (order by position) - octet_length(payload) as bytes_before
        from (select * from ${candidates} order by position limit ${limit}) c) b
     where bytes_before < ${MAX_READ_BYTES}`;
}

function candidatesOf(sources: readonly string[]): string {
  return sources.length === 1 ? `${sources[0]}` : `(${sources.join(' union all ')})`;
}

/** The leaves besides these that have rows between two positions: one look at each index. */
function straysAmong(segments: readonly number[], from: string, to: string): string {
  const others = SEGMENTS.filter((segment) => !segments.includes(segment)).map(
    (segment) =>
      `case when exists (select from postcommit.outbox_${segment} where position between ${from} and ${to}) then '${segment}' end`,
  );
  return `concat_ws(',', ${others.join(', ')})`;
}

const COLUMNS = `position, event_id, subject, key, type, nullif(headers, '{}') as headers, payload,
  date_part('epoch', created_at) as created`;

/** The lowest matching rows of some leaves, as a subquery. */
function lowest(segments: readonly number[], condition: string, limit: number): string {
  const leaves = segments.map(
    (segment) =>
      `(select ${COLUMNS} from postcommit.outbox_${segment} where ${condition} order by position limit ${limit})`,
  );
  return leaves.length === 1
    ? `${leaves[0]}`
    : `(${leaves.join(' union all ')} order by position limit ${limit})`;
}

/** Reads the events at these positions, wherever they lie, in position order. Missing ones are left out. */
export async function readPositions(session: Session, positions: readonly number[]): Promise<StoredEvent[]> {
  if (positions.length === 0) return [];
  const statement = {
    name: 'postcommit_read_positions',
    text: `select position, event_id::text, subject, key, type, headers::text, payload, created
             from (select ${COLUMNS} from postcommit.outbox where position = any($1::int8[])) o order by position`,
    values: [positions],
  };
  return readStoredEvents(session, statement, { many: positions.length >= MANY });
}

/** Events by a statement that brings the columns of `toStoredEvent()` behind their positions. */
export async function readStoredEvents(
  session: Session,
  statement: Statement,
  { many }: { readonly many: boolean },
): Promise<StoredEvent[]> {
  const events: StoredEvent[] = [];
  await session.read(statement, {
    many,
    onRow(columns) {
      const event = toStoredEvent(columns.integer() as number, columns);
      if (event !== undefined) events.push(event);
    },
  });
  return events;
}

/** From so many rows on, planning a statement anew is the smaller price. */
const MANY = 50;

export interface Backlog {
  /** Positions drawn beyond the cursor. */
  readonly positions: number;
  /** When the oldest visible event among them was inserted, in milliseconds of the Unix epoch. */
  readonly oldestMs: number | undefined;
}

/** What lies beyond the cursor now. */
export async function readBacklog(session: Session, cursor: number): Promise<Backlog> {
  const [row] = await session.query({
    name: 'postcommit_backlog',
    text: `with last as materialized (select coalesce(pg_sequence_last_value('postcommit.outbox_position_seq'), 0) as position)
           select greatest(last.position - $1::int8, 0),
                  case when last.position > $1::int8 then (select date_part('epoch', created_at) * 1000 from postcommit.outbox
                                                      where position > $1::int8 order by position limit 1) end
             from last`,
    values: [cursor],
  });
  return { positions: Number(row?.[0] ?? 0), oldestMs: row?.[1] == null ? undefined : Number(row[1]) };
}

/** The highest visible position of a leaf, 0 if it is empty. */
export async function highestPosition(session: Session, segment: number): Promise<number> {
  const [row] = await session.query({
    text: `select position from postcommit.outbox_${segment} order by position desc limit 1`,
  });
  return Number(row?.[0] ?? 0);
}

/**
 * Whoever chooses a position can put two rows there, in two leaves. The log knows positions, so only one of them can be
 * published; `postcommit audit` names such pairs.
 */
function withoutTwins(events: readonly StoredEvent[]): readonly StoredEvent[] {
  const isTwin = (event: StoredEvent, i: number) => events[i - 1]?.position === event.position;
  return events.some(isTwin) ? events.filter((event, i) => !isTwin(event, i)) : events;
}

function assertAscending(events: readonly StoredEvent[]): void {
  for (let i = 1; i < events.length; i++) {
    const [previous, next] = [events[i - 1], events[i]];
    if (previous === undefined || next === undefined || previous.position > next.position) {
      throw new Error('a read returned positions out of order');
    }
  }
}

/** As PostgreSQL writes it: `pg` would put each element into quotes. */
function arrayOf(values: readonly (number | null)[]): string {
  return `{${values.map((value) => value ?? 'null').join(',')}}`;
}
