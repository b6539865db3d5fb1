import { complementOf, type PositionRanges, parseMultirange, unionOf } from '../postgres/position-ranges.ts';
import type { Session, TextRow } from '../postgres/session.ts';
import type { Batch, BatchKind, Ordering } from './batch.ts';

/** What the log says about reading: where to go on, and what has to be looked into below that. */
export interface CaptureRecovery {
  /** Every lane has looked at everything up to here. */
  readonly cursor: number;
  /** Positions at or below the cursor that no plan holds. */
  readonly gaps: PositionRanges;
  /** Some lane has looked as far as this: what is read up to here may be covered by a plan already. */
  readonly watermark: number;
}

const PAGE = 500;

/**
 * Reads back what the log says about capture, over all streams: an event is covered once any lane's log holds it, so
 * that subjects may move from one lane to another between two starts. Reading goes on at the lowest place of all.
 */
export async function recoverCapture(session: Session): Promise<CaptureRecovery> {
  const last = await lastRows(session);
  if (last.length === 0) return { cursor: 0, gaps: [], watermark: 0 };
  const openFrom = Math.min(...last.map((row) => row.openFrom));
  const cursor = Math.min(...last.map((row) => row.readTo));
  const watermark = Math.max(...last.map((row) => row.readTo));
  const covered = await coverageOf(session, last, { from: openFrom, to: cursor, reopened: true });
  return { cursor, gaps: complementOf(covered, openFrom, cursor), watermark };
}

export interface CoverageBounds {
  readonly from: number;
  readonly to: number;
  /**
   * An audit may have found positions that were planned long after the rest of their neighbourhood. True looks for those
   * as well, up to the end of the log.
   */
  readonly reopened: boolean;
  /** Only what was planned to be stored, and no copies: what is dead or held is left out. */
  readonly originals?: true;
}

/** Which positions between two bounds the plans of these streams hold, or leave out on purpose. */
export async function coverageOf(
  session: Session,
  streams: readonly Pick<Batch, 'stream' | 'batch'>[],
  { from, to, reopened, originals }: CoverageBounds,
): Promise<PositionRanges> {
  const covered: PositionRanges[] = [];
  for (const { stream, batch } of streams) {
    const first = await firstBatchReading(session, { stream, batch, openFrom: from });
    const end = reopened ? batch : await lastBatchBelow(session, { stream, batch, position: to });
    const [name, covers] = originals === true ? ORIGINALS : EVERYTHING;
    for (let low = first; low <= end; low += BATCHES_AT_ONCE) {
      const [row] = await session.query({
        name,
        text: `select (${covers}) * int8multirange(int8range($4, $5, '[]'))
                 from postcommit.batches where stream = $1 and batch between $2 and $3`,
        values: [stream, low, Math.min(end, low + BATCHES_AT_ONCE - 1), from, Math.max(from, to)],
      });
      covered.push(parseMultirange(row?.[0] ?? '{}'));
    }
  }
  return unionOf(covered);
}

/** Of a statement that others wait for: a log may have millions of rows. */
const BATCHES_AT_ONCE = 20_000;

const EVERYTHING = [
  'postcommit_coverage',
  `coalesce(range_agg(positions), '{}') + coalesce(range_agg(parked), '{}')`,
] as const;
const ORIGINALS = [
  'postcommit_originals',
  `coalesce(range_agg(positions) filter (where kind <> 'replay'), '{}')`,
] as const;

/** The newest row of each stream, by the ends of the primary key's index: the log may hold millions of rows. */
export async function lastRows(session: Session): Promise<Batch[]> {
  const rows = await session.query({
    name: 'postcommit_last_rows',
    text: `with recursive streams as (
             (select stream from postcommit.batches order by stream limit 1)
             union all
             select (select b.stream from postcommit.batches b where b.stream > s.stream order by b.stream limit 1)
               from streams s where s.stream is not null)
           select b.* from streams s
             cross join lateral (select ${COLUMNS} from postcommit.batches b where b.stream = s.stream
                                  order by b.batch desc limit 1) b`,
  });
  return rows.map(toBatch);
}

/**
 * A batch number not above the first row of a stream that looked at `openFrom` or beyond. `read_to` never falls, so
 * strides that double find it in a few look-ups.
 */
async function firstBatchReading(
  session: Session,
  { stream, batch, openFrom }: { stream: string; batch: number; openFrom: number },
): Promise<number> {
  for (let stride = 64; stride < batch; stride *= 2) {
    const [row] = await session.query({
      name: 'postcommit_read_to',
      text: `select read_to from postcommit.batches where stream = $1 and batch <= $2 order by batch desc limit 1`,
      values: [stream, batch - stride],
    });
    if (row === undefined || Number(row[0]) < openFrom) return batch - stride;
  }
  return 0;
}

/**
 * A batch number not below the last row of a stream that may hold a position up to this one: `open_from` never falls
 * either, and a row holds nothing below the `open_from` of the row before it.
 */
async function lastBatchBelow(
  session: Session,
  { stream, batch, position }: { stream: string; batch: number; position: number },
): Promise<number> {
  let [low, high] = [0, batch];
  while (high - low > 64) {
    const middle = Math.floor((low + high) / 2);
    const [row] = await session.query({
      name: 'postcommit_open_from',
      text: `select open_from from postcommit.batches where stream = $1 and batch <= $2 order by batch desc limit 1`,
      values: [stream, middle],
    });
    if (row === undefined || Number(row[0]) <= position) low = middle;
    else high = middle;
  }
  return high + 1;
}

/** The streams that something was ever planned for. */
export async function plannedStreams(session: Session): Promise<string[]> {
  return (await lastRows(session)).map(({ stream }) => stream);
}

/** The last row of a stream's log, undefined if there is none. */
export async function lastBatch(session: Session, stream: string): Promise<Batch | undefined> {
  const [row] = await session.query({
    text: `select ${COLUMNS} from postcommit.batches where stream = $1 order by batch desc limit 1`,
    values: [stream],
  });
  return row === undefined ? undefined : toBatch(row);
}

/**
 * The rows that say what belongs to the sequences from `sequence` on, oldest first: read backwards until the plans
 * end below it. Rows of an older incarnation speak of another stream.
 */
export async function batchesFrom(
  session: Session,
  {
    stream,
    incarnation,
    sequence,
    since,
  }: { stream: string; incarnation: string; sequence: number; since: number },
): Promise<Batch[]> {
  const batches: Batch[] = [];
  let below = Number.MAX_SAFE_INTEGER;
  for (;;) {
    const page = await session.query({
      text: `select ${COLUMNS} from postcommit.batches
              where stream = $1 and incarnation = $2 and batch < $3 and batch > $4 order by batch desc limit ${PAGE}`,
      values: [stream, incarnation, below, since],
    });
    for (const row of page) batches.push(toBatch(row));
    const oldest = batches.at(-1);
    if (page.length < PAGE || oldest === undefined || endsBelow(oldest, sequence)) break;
    below = oldest.batch;
  }
  return batches.reverse();
}

/** The rows that plan some of these sequences, both ends included, or moved events away from them, oldest first. */
export async function batchesWithin(
  session: Session,
  range: { stream: string; incarnation: string; from: number; to: number; since: number },
): Promise<Batch[]> {
  const rows = await session.query({
    text: `select ${COLUMNS} from postcommit.batches
            where stream = $1 and incarnation = $2 and batch > $3
              and (last_sequence >= $4 and first_sequence <= $5 or kind in ('again', 'retry', 'found'))
            order by batch`,
    values: [range.stream, range.incarnation, range.since, range.from, range.to],
  });
  return rows.map(toBatch);
}

/** `marker` and `found` rows lie inside older plans: they say nothing about where older rows end. */
function endsBelow({ kind, lastSequence }: Batch, sequence: number): boolean {
  return kind !== 'marker' && kind !== 'found' && lastSequence < sequence;
}

export interface LogSpan {
  /** The last batch number of another ordering: slots begin behind it. 0 if there is none. */
  readonly since: number;
  /** The lowest sequence that any retained plan of this incarnation begins with. */
  readonly start: number;
  /** The highest sequence that any plan reaches. */
  readonly end: number;
  /** Nothing of it was pruned: what lies below `start` was never planned. */
  readonly whole: boolean;
}

/** Which sequences of a stream's incarnation the log plans as slots: they rise with the batches, but for these two kinds. */
export async function logSpan(session: Session, stream: string, incarnation: string): Promise<LogSpan> {
  const [other] = await session.query({
    name: 'postcommit_last_unordered',
    text: `select batch from postcommit.batches where stream = $1 and ordering <> 'stream' order by batch desc limit 1`,
    values: [stream],
  });
  const since = Number(other?.[0] ?? 0);
  const edge = (column: string, direction: 'asc' | 'desc') =>
    `(select ${column} from postcommit.batches where stream = $1 and incarnation = $2 and batch > $3
       and kind not in ('marker', 'found') order by batch ${direction} limit 1)`;
  const [row] = await session.query({
    name: 'postcommit_log_span',
    text: `select ${edge('first_sequence', 'asc')}, ${edge('last_sequence', 'desc')},
                  (select b.batch = 1 or exists (select from postcommit.batches before
                                                  where before.stream = $1 and before.batch = b.batch - 1)
                     from postcommit.batches b where b.stream = $1 and b.incarnation = $2 and b.batch > $3
                    order by b.batch limit 1)::text`,
    values: [stream, incarnation, since],
  });
  return { since, start: Number(row?.[0] ?? 0), end: Number(row?.[1] ?? 0), whole: row?.[2] === 'true' };
}

/** A stretch of a stream's log in which something may be planned and not settled, and what it rests on. */
export interface Unsettled {
  /** Oldest first. */
  readonly batches: readonly Batch[];
  /** Every row up to this batch number is settled. */
  readonly settledBatch: number;
  /** Slots of the rows of `stream` ordering among them are settled up to this sequence. Later rows say nothing of slots. */
  readonly slotsSettledTo: number;
}

/**
 * The rows of a stream that are not known to be settled, as `key` and `none` ordering need them. `above`: also those
 * whose events may lie beyond this sequence, although they were settled (the stream has lost its tail).
 */
export async function unsettledBatches(
  session: Session,
  last: Batch,
  { above }: { above: number },
): Promise<Unsettled> {
  const { stream, incarnation } = last;
  const [known] = await session.query({
    name: 'postcommit_settled_batch',
    text: `select settled_batch from postcommit.batches
            where stream = $1 and incarnation = $2 and ordering <> 'stream' and settled_batch is not null
              and first_sequence <= $3
            order by batch desc limit 1`,
    values: [stream, incarnation, above + 1],
  });
  const settledBatch = Number(known?.[0] ?? 0);
  const [slotted] = await session.query({
    name: 'postcommit_last_slotted',
    // Before the first acknowledgement of an incarnation nothing of it is settled, however much is planned.
    text: `with slotted as (
             select batch, first_sequence, settled_to from postcommit.batches
              where stream = $1 and incarnation = $2 and batch > $3 and ordering = 'stream'
                and kind not in ('marker', 'found'))
           select coalesce(newest.settled_to, (select first_sequence - 1 from slotted order by batch limit 1))
             from (select settled_to from slotted order by batch desc limit 1) newest`,
    values: [stream, incarnation, settledBatch],
  });
  const slotsSettledTo = Math.min(Number(slotted?.[0] ?? 0), above);
  const rows = await session.query({
    name: 'postcommit_unsettled',
    text: `select ${COLUMNS} from postcommit.batches
            where stream = $1 and incarnation = $2 and batch > $3
              and (ordering <> 'stream' or last_sequence > $4)
            order by batch`,
    values: [stream, incarnation, settledBatch, slotsSettledTo],
  });
  return { batches: rows.map(toBatch), settledBatch, slotsSettledTo };
}

const COLUMNS = `stream, incarnation, batch, epoch, ordering, kind, first_sequence, last_sequence, settled_to,
  positions::text, parked::text, read_to, open_from, settled_batch, subject_prefix`;

function toBatch(row: TextRow): Batch {
  const number = (index: number) => Number(row[index]);
  return {
    stream: row[0] as string,
    incarnation: row[1] as string,
    batch: number(2),
    epoch: number(3),
    ordering: row[4] as Ordering,
    kind: row[5] as BatchKind,
    firstSequence: number(6),
    lastSequence: number(7),
    settledTo: row[8] == null ? null : number(8),
    positions: parseMultirange(row[9] ?? '{}'),
    parked: parseMultirange(row[10] ?? '{}'),
    readTo: number(11),
    openFrom: number(12),
    settledBatch: row[13] == null ? null : number(13),
    subjectPrefix: row[14] ?? null,
  };
}
