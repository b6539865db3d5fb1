import { type PositionRanges, parseMultirange } from '../postgres/position-ranges.ts';
import type { Session } from '../postgres/session.ts';
import type { NewestRow } from './newest.ts';

/** What a lane knows to be stored in its stream. */
export interface SettledStream {
  readonly stream: string;
  /** Highest sequence known to hold our message: decides about rows in `stream` ordering. Null: none. */
  readonly settledTo: number | null;
  /** Every row up to this batch is settled: decides about rows in `key` and `none` ordering. Null: none. */
  readonly settledBatch: number | null;
}

/** The newest row of a stream's log, with what is known to be stored now instead of when it was planned. */
export type SettledLog = NewestRow & SettledStream;

/**
 * What is settled in each stream of the log: what the lanes know, and for a stream that is no lane any more, what its
 * own log says. Undefined if a lane has not compared log and stream yet: then nobody knows.
 */
export function settledLogs(
  newest: readonly NewestRow[],
  lanes: readonly SettledStream[],
): readonly SettledLog[] | undefined {
  const logs = newest.map((row) => ({ ...row, ...lanes.find(({ stream }) => stream === row.stream) }));
  const unknown = logs.some((log, i) =>
    log.ordering === 'stream'
      ? log.settledTo === null && newest[i]?.settledTo !== null
      : log.settledBatch === null && newest[i]?.settledBatch !== null,
  );
  return unknown ? undefined : logs;
}

/**
 * Whether a row b is settled, as SQL of the parameters that `settledParameters` gives. Rows of an older incarnation
 * are: what of theirs was not stored was planned again in the newer one, and its rows decide.
 */
export const IS_SETTLED = `(b.incarnation <> $2 or case b.ordering when 'stream' then b.last_sequence <= $3::int8
  else b.batch <= $4::int8 end) is true`;

export function settledParameters({ stream, incarnation, settledTo, settledBatch }: SettledLog): unknown[] {
  return [stream, incarnation, settledTo, settledBatch];
}

/**
 * The positions that a row names which is not settled: planned is not stored, also where an older row of theirs is
 * settled (they lost their slot). Looks back only as far as rows are unsettled: sequences rise with the rows, but for
 * `marker` and `found`, which lie inside older ones.
 */
export async function unsettledPositions(session: Session, log: SettledLog): Promise<PositionRanges> {
  const [row] = await session.query({
    name: 'postcommit_unsettled',
    text: `with anchor as materialized (
             select coalesce((select b.batch from postcommit.batches b
                               where b.stream = $1 and b.kind not in ('marker', 'found') and ${IS_SETTLED}
                               order by b.batch desc limit 1), 0) as batch)
           select coalesce(range_agg(b.positions), '{}')
             from postcommit.batches b where b.stream = $1 and b.batch > (select batch from anchor)
              and not (${IS_SETTLED})`,
    values: settledParameters(log),
  });
  return parseMultirange(row?.[0] ?? '{}');
}
