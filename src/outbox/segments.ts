import { setSequenceIfLeading } from '../lease/lease.ts';
import { type Session, sqlState } from '../postgres/session.ts';
import { SEGMENTS } from './live-segments.ts';

/** What decides whether inserts move on from a leaf, and whether it may be emptied. */
export interface SegmentFacts {
  readonly segment: number;
  /** Of the table with its TOAST part, without indexes. */
  readonly bytes: number;
  /** Null when it is empty. */
  readonly oldestMs: number | null;
  readonly newestMs: number | null;
  /** Of the database's clock, to compare with. */
  readonly nowMs: number;
}

/** Looks at the ends of a leaf's index only. */
export async function segmentFacts(session: Session, segment: number): Promise<SegmentFacts> {
  const edge = (direction: 'asc' | 'desc') =>
    `(select date_part('epoch', created_at) * 1000 from postcommit.outbox_${segment} order by position ${direction} limit 1)`;
  const [row] = await session.query({
    name: `postcommit_segment_facts_${segment}`,
    text: `select pg_table_size('postcommit.outbox_${segment}'), ${edge('asc')}, ${edge('desc')},
                  date_part('epoch', clock_timestamp()) * 1000`,
  });
  const number = (text: string | null | undefined) => (text == null ? null : Number(text));
  return {
    segment,
    bytes: Number(row?.[0]),
    oldestMs: number(row?.[1]),
    newestMs: number(row?.[2]),
    nowMs: Number(row?.[3]),
  };
}

/** The leaf behind this one in the ring. */
export function nextSegment(segment: number): number {
  return (segment + 1) % SEGMENTS.length;
}

/** Points inserts to another leaf. False: this epoch no longer leads. */
export function rotateIfLeading(session: Session, epoch: number, to: number): Promise<boolean> {
  return setSequenceIfLeading(session, { epoch, sequence: 'segment', value: to });
}

export type Emptying =
  | { readonly kind: 'emptied'; readonly batchesPruned: number }
  /** Rows that no settled plan holds: written to an explicit position, or straight into the leaf. */
  | { readonly kind: 'uncovered'; readonly rows: number }
  /** Someone uses the leaf (a dump, a late writer): later. */
  | { readonly kind: 'busy' }
  | { readonly kind: 'fenced' };

export interface EmptyOptions {
  readonly segment: number;
  readonly epoch: number;
  readonly stream: string;
  /** Highest sequence known to hold our message. */
  readonly settledTo: number;
  readonly openFrom: number;
}

/**
 * Empties a leaf, unless that would lose an event or make anybody wait: each of its rows must be in a settled part of
 * the log (planned is not stored: a broker that is down for longer than the retention must cost nothing).
 */
export async function emptyIfStored(session: Session, options: EmptyOptions): Promise<Emptying> {
  const leaf = `postcommit.outbox_${options.segment}`;
  await session.query({ text: 'begin' });
  try {
    await session.query({ text: `lock table ${leaf} in share mode nowait` });
    const outcome = await emptyLocked(session, leaf, options);
    await session.query({ text: outcome.kind === 'emptied' ? 'commit' : 'rollback' });
    return outcome;
  } catch (error) {
    if (session.failed) throw error;
    await session.query({ text: 'rollback' });
    if (sqlState(error) === LOCK_NOT_AVAILABLE) return { kind: 'busy' };
    throw error;
  }
}

const LOCK_NOT_AVAILABLE = '55P03';

async function emptyLocked(session: Session, leaf: string, options: EmptyOptions): Promise<Emptying> {
  const chair = await session.query({
    text: 'select from postcommit.lease where epoch = $1 for update',
    values: [options.epoch],
  });
  if (chair.length === 0) return { kind: 'fenced' };
  const rows = await countUncovered(session, leaf, options);
  if (rows > 0) return { kind: 'uncovered', rows };
  await session.query({ text: `lock table ${leaf} in access exclusive mode nowait` });
  await session.query({ text: `truncate only ${leaf}` });
  return { kind: 'emptied', batchesPruned: await pruneBatches(session, options) };
}

/** Covered: in a plan that is settled, or parked, and in none that is not. */
async function countUncovered(session: Session, leaf: string, options: EmptyOptions): Promise<number> {
  const [row] = await session.query({
    text: `with bounds as (select min(position) as low from ${leaf}),
           settled as (select stream, case when stream = $1 then $2::int8 else max(settled_to) end as settled_to
                         from postcommit.batches group by stream),
           plans as (select b.positions, b.parked, b.last_sequence <= s.settled_to as stored
                       from postcommit.batches b join settled s using (stream), bounds
                      where b.read_to >= bounds.low),
           covered as materialized (
             select coalesce(range_agg(positions) filter (where stored), '{}'::int8multirange)
                    - coalesce(range_agg(positions) filter (where stored is not true), '{}'::int8multirange)
                    + coalesce(range_agg(parked), '{}'::int8multirange) as positions from plans)
           select count(*) from ${leaf} o, covered where not o.position <@ covered.positions`,
    values: [options.stream, options.settledTo],
  });
  return Number(row?.[0] ?? 0);
}

/** As many settled slots stay in the log whatever happens, for reconciliations to stand on. */
const SLOTS_KEPT = 4_096;

/** Rows of the log go with the leaves they describe: those before the first one that is still needed. */
async function pruneBatches(
  session: Session,
  { stream, settledTo, openFrom }: EmptyOptions,
): Promise<number> {
  const rows = await session.query({
    text: `with retained as (select coalesce(min(position), $2::int8) as low from postcommit.outbox),
           needed as (select min(b.batch) as first from postcommit.batches b, retained
                       where b.stream = $1 and (upper(b.positions) > retained.low or upper(b.parked) > retained.low
                             or b.read_to >= $2 or b.last_sequence > $3)),
           pruned as (delete from postcommit.batches b using needed
                       where b.stream = $1 and b.batch < needed.first returning 1)
           select count(*) from pruned`,
    values: [stream, openFrom, settledTo - SLOTS_KEPT],
  });
  return Number(rows[0]?.[0] ?? 0);
}
