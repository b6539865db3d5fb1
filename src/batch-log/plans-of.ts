import { type PositionRanges, parseMultirange } from '../postgres/position-ranges.ts';
import type { Session, TextRow } from '../postgres/session.ts';
import type { BatchKind, Ordering } from './batch.ts';

/** A row of the log that names some of the positions asked for. */
export interface Plan {
  readonly stream: string;
  readonly incarnation: string;
  readonly ordering: Ordering;
  readonly batch: number;
  readonly kind: BatchKind;
  readonly epoch: number;
  readonly plannedAtMs: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly positions: PositionRanges;
  /** Read, and set aside. */
  readonly parked: PositionRanges;
}

/** Rows in one look, each of up to some thousand events. */
const LOOK = 2_000;

/** The rows behind `after` that name a position of this range, oldest first; of the next 2,000 rows only. */
export async function plansOf(
  session: Session,
  { stream, after, from, to }: { stream: string; after: number; from: number; to: number },
): Promise<Plan[]> {
  const rows = await session.query({
    name: 'postcommit_plans_of',
    text: `select stream, incarnation, ordering, batch, kind, epoch, date_part('epoch', planned_at) * 1000,
                  first_sequence, last_sequence, positions, parked
             from (select * from postcommit.batches where stream = $1 and batch > $2 order by batch limit ${LOOK}) b
            where positions && int8range($3, $4, '[]') or parked && int8range($3, $4, '[]')
            order by batch`,
    values: [stream, after, from, to],
  });
  return rows.map(toPlan);
}

/** A batch number before the newest rows that one look takes in. */
export function beforeNewest(newest: number): number {
  return Math.max(0, newest - LOOK);
}

function toPlan(row: TextRow): Plan {
  const [stream, incarnation, ordering, batch, kind, epoch, planned, first, last, positions, parked] = row;
  return {
    stream: stream ?? '',
    incarnation: incarnation ?? '',
    ordering: ordering as Ordering,
    batch: Number(batch),
    kind: kind as BatchKind,
    epoch: Number(epoch),
    plannedAtMs: Math.round(Number(planned)),
    firstSequence: Number(first),
    lastSequence: Number(last),
    positions: parseMultirange(positions ?? '{}'),
    parked: parseMultirange(parked ?? '{}'),
  };
}
