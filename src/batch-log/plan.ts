import { formatMultirange } from '../postgres/position-ranges.ts';
import { type Session, sqlState } from '../postgres/session.ts';
import type { Batch } from './batch.ts';

/** `fenced`: another leader holds the epoch, or has planned this batch number. Step down at once. */
export type PlanOutcome = 'planned' | 'fenced';

/**
 * Writes one row of the log, and with it (section 2.4 of the design): makes durable everything its read saw, fences
 * other leaders, and fixes what goes where. Nothing may be published before it returns `planned`.
 *
 * @throws on anything else, also on a WARNING: the wait for a synchronous standby may have been cancelled, so nobody
 * knows whether the row stands. The log has to be read again.
 */
export async function planIfLeading(session: Session, batch: Batch): Promise<PlanOutcome> {
  try {
    const rows = await session.queryStrictly({
      name: 'postcommit_plan',
      text: `insert into postcommit.batches (stream, incarnation, batch, epoch, ordering, kind, first_sequence,
               last_sequence, settled_to, positions, parked, read_to, open_from)
             select $1, $2, $3, epoch, $5, $6, $7, $8, $9, $10, $11, $12, $13
               from postcommit.lease where epoch = $4
             returning 1`,
      values: [
        batch.stream,
        batch.incarnation,
        batch.batch,
        batch.epoch,
        batch.ordering,
        batch.kind,
        batch.firstSequence,
        batch.lastSequence,
        batch.settledTo,
        formatMultirange(batch.positions),
        formatMultirange(batch.parked),
        batch.readTo,
        batch.openFrom,
      ],
    });
    return rows.length === 1 ? 'planned' : 'fenced';
  } catch (error) {
    if (sqlState(error) === '23505') return 'fenced';
    throw error;
  }
}
