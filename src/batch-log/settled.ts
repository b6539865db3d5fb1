import { type PositionRanges, parseMultirange } from '../postgres/position-ranges.ts';
import type { Session } from '../postgres/session.ts';
import type { Batch } from './batch.ts';

/** What of a stream's plans is known to be stored. */
export interface SettledStream {
  readonly stream: string;
  /** Highest sequence known to hold our message; null: none. */
  readonly settledTo: number | null;
  /** Every row up to this batch is settled; null: none, or slots say it. */
  readonly settledBatch: number | null;
}

/** The newest row of a stream's log, with what is known to be stored. */
export type SettledLog = Batch & SettledStream;

/**
 * What is settled in each stream of the log: as its lane knows it now, or else (it is no lane any more, or has not
 * compared log and stream yet) as its newest row says it was when that was planned.
 */
export function settledLogs(
  newest: readonly Batch[],
  lanes: readonly SettledStream[],
): readonly SettledLog[] {
  return newest.map((row) => {
    const lane = lanes.find(({ stream }) => stream === row.stream);
    const { settledTo, settledBatch } = row;
    return {
      ...row,
      settledTo: lane?.settledTo ?? settledTo,
      settledBatch: lane?.settledBatch ?? settledBatch,
    };
  });
}

/**
 * Whether a row b is settled, as SQL of the parameters that `settledParameters` gives. Rows of an older incarnation
 * are: what of theirs was not stored was planned again in the newer one, and its rows decide. A stream that has slots
 * now had them for everything that was not stored before it had; one that has none counts the rows from before, too.
 */
export const IS_SETTLED = `(b.incarnation <> $2 or case when $5 then b.ordering <> 'stream' or b.last_sequence <= $3::int8
  else b.batch <= $4::int8 end) is true`;

export function settledParameters(log: SettledLog): unknown[] {
  const { stream, incarnation, settledTo, settledBatch, ordering } = log;
  return [stream, incarnation, settledTo, settledBatch, ordering === 'stream'];
}

/**
 * The positions that a row names which is not settled: planned is not stored, also where an older row of theirs is
 * settled (they lost their slot). Looks back only as far as rows are unsettled: sequences rise with the rows, but for
 * `marker` and `found`, which lie inside older ones.
 */
export async function unsettledPositions(session: Session, log: SettledLog): Promise<PositionRanges> {
  const [row] = await session.query({
    name: 'postcommit_unsettled_positions',
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
