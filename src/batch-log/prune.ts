import type { Session } from '../postgres/session.ts';
import { withoutWaiting } from '../postgres/without-waiting.ts';
import { IS_SETTLED, type SettledLog, settledParameters } from './settled.ts';

/** As many settled slots stay in the log whatever happens, for reconciliations to stand on. */
export const SLOTS_KEPT = 4_096;

/** Deleted in one transaction. */
const ROWS_AT_ONCE = 5_000;

export interface Pruning {
  readonly epoch: number;
  /** The lowest open position of all readers: a successor reads the log from there. */
  readonly openFrom: number;
  /** The lowest position in the outbox; undefined when it is empty. */
  readonly lowestRow: number | undefined;
}

/**
 * Deletes the oldest rows of a stream's log, up to the first that is still needed: to recover reading, for an event
 * that is retained or not settled, as ground for reconciliations, or as the newest. Returns how many: `more` when the
 * next call would find more.
 */
export async function pruneIfLeading(
  session: Session,
  log: SettledLog,
  { epoch, openFrom, lowestRow }: Pruning,
): Promise<{ readonly rows: number; readonly more: boolean }> {
  const prune = () =>
    session.query({
      text: `with oldest as materialized (
               select * from postcommit.batches where stream = $1 and batch < $6 order by batch limit ${ROWS_AT_ONCE}),
             needed as (
               select b.batch from oldest b
                where b.read_to >= $7 or upper(b.positions) > $8 or upper(b.parked) > $8
                   or (b.positions <> '{}' and not (${IS_SETTLED}))
                   or (b.incarnation = $2 and b.ordering = 'stream' and b.last_sequence > $3::int8 - ${SLOTS_KEPT})
                order by b.batch limit 1),
             pruned as (
               delete from postcommit.batches b
                where b.stream = $1 and exists (select from postcommit.lease where epoch = $9)
                  and b.batch < coalesce((select batch from needed), (select max(batch) + 1 from oldest))
               returning 1)
             select count(*) from pruned`,
      values: [...settledParameters(log), log.batch, openFrom, lowestRow ?? Number.MAX_SAFE_INTEGER, epoch],
    });
  const result = await withoutWaiting(session, prune);
  if (result === 'busy') return { rows: 0, more: true };
  const rows = Number(result[0]?.[0] ?? 0);
  return { rows, more: rows === ROWS_AT_ONCE };
}
