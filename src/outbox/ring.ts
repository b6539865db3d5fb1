import type { Session } from '../postgres/session.ts';
import { SEGMENTS } from './live-segments.ts';

/** A leaf of the outbox as an operator sees it. */
export interface RingLeaf {
  readonly segment: number;
  /** Of the table with its TOAST part, without indexes. */
  readonly bytes: number;
  /** Null when it is empty. */
  readonly from: number | null;
  readonly to: number | null;
  readonly oldestMs: number | null;
  /** Inserts go to it. */
  readonly current: boolean;
}

/** All leaves; looks at the ends of their indexes only. */
export async function ringLeaves(session: Session): Promise<RingLeaf[]> {
  const rows = await session.query({
    name: 'postcommit_ring',
    text: SEGMENTS.map(
      (segment) => `
        select ${segment}, pg_table_size('postcommit.outbox_${segment}'), l.position, h.position, date_part('epoch', l.created_at) * 1000,
               pg_sequence_last_value('postcommit.segment') = ${segment}
          from (select) one
          left join lateral (select position, created_at from postcommit.outbox_${segment} order by position limit 1) l on true
          left join lateral (select position from postcommit.outbox_${segment} order by position desc limit 1) h on true`,
    ).join(' union all '),
  });
  const number = (text: string | null | undefined) => (text == null ? null : Number(text));
  return rows.map(([segment, bytes, from, to, oldestMs, current]) => ({
    segment: Number(segment),
    bytes: Number(bytes),
    from: number(from),
    to: number(to),
    oldestMs: number(oldestMs),
    current: current === 't',
  }));
}
