import type { LogPage } from '../batch-log/log-pages.ts';
import type { PositionRanges } from '../postgres/position-ranges.ts';
import { rangesOf } from '../postgres/position-ranges.ts';
import type { Session } from '../postgres/session.ts';

const AT_MOST = 1_000;

/**
 * Positions of a leaf whose rows are younger than the plan that names them: the plan means an earlier event, and a
 * sequence that was set back (by a RESTART, or a switchover that leaves sequences behind) handed its position out again.
 * By the order of transactions, and by the clock too: a restored database has all its rows from one transaction.
 */
export async function reusedPositions(
  session: Session,
  leaf: { readonly segment: number; readonly low: number; readonly high: number },
  { stream, after, to }: LogPage,
): Promise<PositionRanges> {
  const { segment, low, high } = leaf;
  const outbox = `postcommit.outbox_${segment}`;
  const rows = await session.query({
    name: `postcommit_reused_${segment}`,
    text: `select o.position
             from (select positions, planned_at, age(xmin) as age from postcommit.batches
                    where stream = $1 and batch > $2 and batch <= $3 and kind = 'new' order by batch offset 0) b
            cross join unnest(b.positions * int8multirange(int8range($4, $5, '[]'))) as plan
            cross join lateral (select position from ${outbox}
                                 where position >= lower(plan) and position < upper(plan)
                                   and created_at > b.planned_at + interval '1 second' and age(xmin) < b.age) o
            limit ${AT_MOST}`,
    values: [stream, after, to, low, high],
  });
  if (rows.length === 0) return [];
  // Planned anew since then, as some are: those are what a plan of theirs names.
  const left = await session.query({
    text: `select distinct o.position from ${outbox} o
            where o.position = any($1::int8[]) and not exists (
              select from postcommit.batches b where b.stream = $2 and b.batch > $3 and b.batch <= $4
                 and b.positions @> o.position and b.planned_at >= o.created_at) order by 1`,
    values: [rows.map(([position]) => position), stream, after, to],
  });
  return rangesOf(left.map(([position]) => Number(position)));
}
