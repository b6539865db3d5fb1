import {
  formatMultirange,
  type PositionRanges,
  parseMultirange,
  sizeOf,
  unionOf,
} from '../postgres/position-ranges.ts';
import { createPositionSet } from '../postgres/position-set.ts';
import type { Session } from '../postgres/session.ts';
import type { LogPage } from './log-pages.ts';
import { lastRows } from './recover.ts';

/** Finds positions that two rows planned as `new`, in whatever streams: nothing further down would refuse the second. */
export interface PlannedTwice {
  compare(page: LogPage): Promise<void>;
  readonly positions: PositionRanges;
}

export function createPlannedTwice(session: Session): PlannedTwice {
  const planned = createPositionSet();
  let twice: PositionRanges = [];
  return {
    async compare(page) {
      const within = page.freshEvents > sizeOf(page.fresh) ? await overlapsIn(session, page) : [];
      twice = unionOf([twice, planned.add(page.fresh), within]);
    },
    get positions() {
      return twice;
    },
  };
}

async function overlapsIn(session: Session, { stream, after, to }: LogPage): Promise<PositionRanges> {
  const rows = await session.query({
    text: `with plans as (
             select lower(r) as low, upper(r) - 1 as high from postcommit.batches, unnest(positions) r
              where stream = $1 and batch > $2 and batch <= $3 and kind = 'new'),
           sorted as (
             select low, high, max(high) over (order by low, high rows between unbounded preceding and 1 preceding) as reached
               from plans)
           select low, least(high, reached) from sorted where low <= reached`,
    values: [stream, after, to],
  });
  return unionOf(rows.map(([low, high]) => [Number(low), Number(high)]));
}

/** A row of the log that planned some positions as `new`. */
export interface NamingRow {
  readonly stream: string;
  readonly batch: number;
  readonly positions: PositionRanges;
}

const BATCHES_AT_ONCE = 50_000;
const ROWS_AT_MOST = 1_000;

/**
 * The rows that planned these positions as `new`, at most a thousand. A plan that is older than the row of the outbox at
 * its position does not name it: the position was handed out again.
 */
export async function rowsNaming(session: Session, positions: PositionRanges): Promise<NamingRow[]> {
  const found: NamingRow[] = [];
  for (const { stream, batch: newest } of await lastRows(session)) {
    for (let after = 0; after < newest && found.length < ROWS_AT_MOST; after += BATCHES_AT_ONCE) {
      const rows = await session.query({
        text: `select batch, (positions * $1::int8multirange
                 - coalesce((select range_agg(int8range(o.position, o.position, '[]')) from postcommit.outbox o
                              where o.position between lower(positions * $1::int8multirange)
                                                   and upper(positions * $1::int8multirange)
                                and o.position <@ (positions * $1::int8multirange)
                                and o.created_at > planned_at + interval '1 second'), '{}'))::text
                 from postcommit.batches
                where stream = $2 and batch > $3 and batch <= $4 and kind = 'new' and positions && $1::int8multirange
                order by batch limit ${ROWS_AT_MOST}`,
        values: [formatMultirange(positions), stream, after, after + BATCHES_AT_ONCE],
      });
      for (const [batch, named] of rows)
        found.push({ stream, batch: Number(batch), positions: parseMultirange(named ?? '') });
    }
  }
  return found;
}
