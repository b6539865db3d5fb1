import { type PositionRanges, parseMultirange, sizeOf } from '../postgres/position-ranges.ts';
import type { Session } from '../postgres/session.ts';
import type { Batch } from './batch.ts';

/** Some rows of a stream's log that follow each other, taken together. */
export interface LogPage {
  readonly stream: string;
  /** The batch before its first row. */
  readonly after: number;
  /** Its last row. */
  readonly to: number;
  readonly rows: number;
  /** Planned by rows of the kind `new`. */
  readonly fresh: PositionRanges;
  /** The same, each as often as it was planned. */
  readonly freshEvents: number;
  /** Planned by rows of the other kinds. */
  readonly again: PositionRanges;
  readonly parked: PositionRanges;
}

/** Rows of a page: enough for about so many events, whatever a row holds, so that memory is bounded on both sides. */
const EVENTS_A_PAGE = 200_000;
const FIRST_PAGE = 1_000;
const SMALLEST_PAGE = 200;
const LARGEST_PAGE = 20_000;

/** Reads a stream's log from the row behind `after` to its end, oldest first. */
export async function* logPages(
  session: Session,
  { stream, after = 0 }: { stream: string; after?: number },
): AsyncGenerator<LogPage, void> {
  let size = FIRST_PAGE;
  for (let last = after; ; ) {
    const page = await readPage(session, { stream, after: last, size });
    if (page === undefined) return;
    yield page;
    if (page.rows < size) return;
    last = page.to;
    const events = page.freshEvents + sizeOf(page.again) + sizeOf(page.parked);
    const fitting = Math.round((EVENTS_A_PAGE * page.rows) / Math.max(events, 1));
    size = Math.min(Math.max(fitting, SMALLEST_PAGE), LARGEST_PAGE);
  }
}

async function readPage(
  session: Session,
  { stream, after, size }: { stream: string; after: number; size: number },
): Promise<LogPage | undefined> {
  const [row] = await session.query({
    text: `select max(batch), count(*), coalesce(range_agg(positions) filter (where kind = 'new'), '{}'),
                  coalesce(sum(last_sequence - first_sequence + 1) filter (where kind = 'new'), 0),
                  coalesce(range_agg(positions) filter (where kind <> 'new'), '{}'), coalesce(range_agg(parked), '{}')
             from (select * from postcommit.batches where stream = $1 and batch > $2 order by batch limit ${size}) b`,
    values: [stream, after],
  });
  if (row === undefined || row[0] == null) return undefined;
  return {
    stream,
    after,
    to: Number(row[0]),
    rows: Number(row[1]),
    fresh: parseMultirange(row[2] ?? '{}'),
    freshEvents: Number(row[3]),
    again: parseMultirange(row[4] ?? '{}'),
    parked: parseMultirange(row[5] ?? '{}'),
  };
}

/** So close is close enough. */
const STRIDE = 64;

/**
 * A batch number below the first row of a stream that can name `position`: those before it had not read as far.
 * `read_to` never falls, so the log is halved until little is left.
 */
export async function batchBefore(
  session: Session,
  { stream, batch }: Pick<Batch, 'stream' | 'batch'>,
  position: number,
): Promise<number> {
  let [low, high] = [0, batch];
  while (high - low > STRIDE) {
    const middle = Math.floor((low + high) / 2);
    const [row] = await session.query({
      name: 'postcommit_read_to_at',
      text: 'select read_to from postcommit.batches where stream = $1 and batch <= $2 order by batch desc limit 1',
      values: [stream, middle],
    });
    if (row === undefined || Number(row[0]) < position) low = middle;
    else high = middle;
  }
  return low;
}
