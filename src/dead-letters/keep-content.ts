import type { Session } from '../postgres/session.ts';

/** Copied by one statement: payloads may be large. */
export const KEPT_AT_ONCE = 100;

interface LeafBounds {
  readonly segment: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Copies the content of dead letters from a leaf that is about to be emptied: until then the outbox row keeps it.
 * Returns how many, at most `KEPT_AT_ONCE`; call it again until it is less.
 */
export async function keepContent(session: Session, leaf: LeafBounds): Promise<number> {
  const rows = await session.query({ text: keepContentStatement(leaf) });
  return rows.length;
}

/** Returns a row for each dead letter. */
export function keepContentStatement({ segment, low, high }: LeafBounds): string {
  return `with needed as (
      select d.id, o.subject, o.key, o.type, o.headers, o.payload
        from postcommit.dead_letters d join postcommit.outbox_${segment} o
          on o.position = d.position and o.event_id::text = d.event_id
       where d.consumer is null and d.position between ${low} and ${high} and d.payload is null
         and d.state in ('marking', 'parked', 'held', 'retrying')
       order by d.position limit ${KEPT_AT_ONCE})
    update postcommit.dead_letters d
       set subject = n.subject, key = n.key, type = n.type, headers = n.headers, payload = n.payload
      from needed n where d.id = n.id
    returning 1`;
}
