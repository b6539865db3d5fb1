import { complementOf, type PositionRanges, parseMultirange, unionOf } from '../postgres/position-ranges.ts';
import type { Session, TextRow } from '../postgres/session.ts';
import type { Batch, BatchKind, Ordering } from './batch.ts';

/** What the log says about reading: where to go on, and which positions below that no plan holds. */
export interface CaptureRecovery {
  readonly cursor: number;
  readonly gaps: PositionRanges;
}

const PAGE = 500;

/**
 * Reads back what the log says about capture, over all streams: an event is covered once any lane's log holds it.
 * Gaps are what its rows leave out between the lowest `open_from` and the highest `read_to`.
 */
export async function recoverCapture(session: Session): Promise<CaptureRecovery> {
  const last = await lastRows(session);
  if (last.length === 0) return { cursor: 0, gaps: [] };
  const openFrom = Math.min(...last.map((row) => row.openFrom));
  const cursor = Math.max(...last.map((row) => row.readTo));
  const covered: PositionRanges[] = [];
  for (const { stream, batch } of last) {
    const first = await firstBatchReading(session, { stream, batch, openFrom });
    const [row] = await session.query({
      text: `select coalesce(range_agg(positions), '{}') + coalesce(range_agg(parked), '{}')
               from postcommit.batches where stream = $1 and batch >= $2`,
      values: [stream, first],
    });
    covered.push(parseMultirange(row?.[0] ?? '{}'));
  }
  return { cursor, gaps: complementOf(unionOf(covered), openFrom, cursor) };
}

interface LastRow {
  readonly stream: string;
  readonly batch: number;
  readonly openFrom: number;
  readonly readTo: number;
}

/** The newest row of each stream, by the ends of the primary key's index: the log may hold millions of rows. */
async function lastRows(session: Session): Promise<LastRow[]> {
  const rows = await session.query({
    text: `with recursive streams as (
             (select stream from postcommit.batches order by stream limit 1)
             union all
             select (select b.stream from postcommit.batches b where b.stream > s.stream order by b.stream limit 1)
               from streams s where s.stream is not null)
           select b.stream, b.batch, b.open_from, b.read_to from streams s
             cross join lateral (select * from postcommit.batches b where b.stream = s.stream
                                  order by b.batch desc limit 1) b`,
  });
  return rows.map(([stream, batch, openFrom, readTo]) => ({
    stream: stream as string,
    batch: Number(batch),
    openFrom: Number(openFrom),
    readTo: Number(readTo),
  }));
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
  { stream, incarnation, sequence }: { stream: string; incarnation: string; sequence: number },
): Promise<Batch[]> {
  const batches: Batch[] = [];
  let below = Number.MAX_SAFE_INTEGER;
  for (;;) {
    const page = await session.query({
      text: `select ${COLUMNS} from postcommit.batches
              where stream = $1 and incarnation = $2 and batch < $3 order by batch desc limit ${PAGE}`,
      values: [stream, incarnation, below],
    });
    for (const row of page) batches.push(toBatch(row));
    const oldest = batches.at(-1);
    if (page.length < PAGE || oldest === undefined || endsBelow(oldest, sequence)) break;
    below = oldest.batch;
  }
  return batches.reverse();
}

/** `marker` and `found` rows lie inside older plans: they say nothing about where older rows end. */
function endsBelow({ kind, lastSequence }: Batch, sequence: number): boolean {
  return kind !== 'marker' && kind !== 'found' && lastSequence < sequence;
}

export interface LogSpan {
  /** The lowest sequence that any retained plan of this incarnation begins with. */
  readonly start: number;
  /** The highest sequence that any plan reaches. */
  readonly end: number;
}

/** Which sequences of a stream's incarnation the log speaks of: slots rise with the batches, but for these two kinds. */
export async function logSpan(session: Session, stream: string, incarnation: string): Promise<LogSpan> {
  const edge = (column: string, direction: 'asc' | 'desc') =>
    `(select ${column} from postcommit.batches where stream = $1 and incarnation = $2
       and kind not in ('marker', 'found') order by batch ${direction} limit 1)`;
  const [row] = await session.query({
    text: `select ${edge('first_sequence', 'asc')}, ${edge('last_sequence', 'desc')}`,
    values: [stream, incarnation],
  });
  return { start: Number(row?.[0] ?? 0), end: Number(row?.[1] ?? 0) };
}

const COLUMNS = `stream, incarnation, batch, epoch, ordering, kind, first_sequence, last_sequence, settled_to,
  positions::text, parked::text, read_to, open_from`;

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
  };
}
