import type { Transaction } from '../postgres/transaction-handle.ts';
import type { Ordering } from './batch.ts';

/** Where an event is to be stored, by the last row of the log that names it. */
export interface NewestPlan {
  readonly stream: string;
  /** In `stream` ordering its place, elsewhere the first that it may have. */
  readonly sequence: number;
  readonly ordering: Ordering;
}

/** Reads the whole log. Undefined: no row plans it. */
export async function newestPlan(
  transaction: Transaction,
  position: number,
): Promise<NewestPlan | undefined> {
  const [row] = await transaction.run(
    `SELECT stream, ordering,
            (first_sequence + CASE WHEN ordering = 'stream' THEN
               (SELECT coalesce(sum(least(upper(span), $1::text::bigint) - lower(span)), 0)
                  FROM unnest(positions) AS span WHERE lower(span) < $1::text::bigint) ELSE 0 END)::text AS sequence
       FROM postcommit.batches
      WHERE kind <> 'marker' AND positions @> $1::text::bigint
      ORDER BY planned_at DESC, batch DESC LIMIT 1`,
    [String(position)],
  );
  if (row === undefined) return undefined;
  return {
    stream: String(row.stream),
    sequence: Number(row.sequence),
    ordering: row.ordering as Ordering,
  };
}
