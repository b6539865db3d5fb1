import { setSequenceIfLeading } from '../lease/lease.ts';
import type { Session } from '../postgres/session.ts';
import { withoutWaiting } from '../postgres/without-waiting.ts';
import { SEGMENTS } from './live-segments.ts';

/** What decides whether inserts move on from a leaf, and whether it may be emptied. */
export interface SegmentFacts {
  readonly segment: number;
  /** Of the table with its TOAST part, without indexes. */
  readonly bytes: number;
  readonly indexBytes: number;
  /** Null when it is empty. */
  readonly oldestMs: number | null;
  readonly newestMs: number | null;
  /** Of the database's clock, to compare with. */
  readonly nowMs: number;
}

/** Looks at the ends of a leaf's index only. Undefined: somebody keeps everyone out of it (a VACUUM FULL). */
export async function segmentFacts(session: Session, segment: number): Promise<SegmentFacts | undefined> {
  const edge = (direction: 'asc' | 'desc') =>
    `(select date_part('epoch', created_at) * 1000 from postcommit.outbox_${segment} order by position ${direction} limit 1)`;
  const rows = await withoutWaiting(session, () =>
    session.query({
      name: `postcommit_segment_facts_${segment}`,
      text: `select pg_table_size('postcommit.outbox_${segment}'), ${edge('asc')}, ${edge('desc')},
                    date_part('epoch', clock_timestamp()) * 1000, pg_indexes_size('postcommit.outbox_${segment}')`,
    }),
  );
  if (rows === 'busy') return undefined;
  const [row] = rows;
  const number = (text: string | null | undefined) => (text == null ? null : Number(text));
  return {
    segment,
    bytes: Number(row?.[0]),
    oldestMs: number(row?.[1]),
    newestMs: number(row?.[2]),
    nowMs: Number(row?.[3]),
    indexBytes: Number(row?.[4]),
  };
}

/** The leaf that inserts go to now, whatever a look has seen. */
export async function currentSegment(session: Session): Promise<number> {
  const [row] = await session.query({
    name: 'postcommit_current_segment',
    text: "select pg_sequence_last_value('postcommit.segment')",
  });
  return Number(row?.[0] ?? 0);
}

/** The lowest position in the outbox, undefined when it is empty; `busy` as `segmentFacts` is undefined. */
export async function lowestPosition(session: Session): Promise<number | undefined | 'busy'> {
  const rows = await withoutWaiting(session, () =>
    session.query({
      name: 'postcommit_lowest_position',
      text: 'select position from postcommit.outbox order by position limit 1',
    }),
  );
  if (rows === 'busy') return 'busy';
  return rows[0] === undefined ? undefined : Number(rows[0][0]);
}

/** The leaf behind this one in the ring. */
export function nextSegment(segment: number): number {
  return (segment + 1) % SEGMENTS.length;
}

/** Points inserts to another leaf. False: this epoch no longer leads. */
export function rotateIfLeading(session: Session, epoch: number, to: number): Promise<boolean> {
  return setSequenceIfLeading(session, { epoch, sequence: 'segment', value: to });
}

/** A session that keeps a leaf from being emptied. */
export interface LeafHolder {
  /** Null of a prepared transaction. */
  readonly pid: number | null;
  readonly application: string;
}

/** Who has a lock on this very leaf, besides relays: a dump, a report, an INSERT straight into it. */
export async function leafHolders(session: Session, segment: number): Promise<LeafHolder[]> {
  const rows = await session.query({
    text: `select distinct l.pid, coalesce(a.application_name, '')
             from pg_locks l left join pg_stat_activity a on a.pid = l.pid
            where l.locktype = 'relation' and l.granted and l.pid is distinct from pg_backend_pid()
              and l.database = (select oid from pg_database where datname = current_database())
              and l.relation = to_regclass('postcommit.outbox_${segment}')
              and coalesce(a.application_name, '') not like 'postcommit %'
            order by 1`,
  });
  return rows.map(([pid, application]) => ({
    pid: pid == null ? null : Number(pid),
    application: application ?? '',
  }));
}
