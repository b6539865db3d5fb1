import { type ConsumerLease, leaseHeld } from '../lease/consumer-lease.ts';
import type { Transaction } from '../postgres/transaction-handle.ts';
import { liftPlaces } from './places.ts';

/** What a consumer has seen: one message, and where it came from. */
export interface InboxRecord {
  readonly eventId: string;
  readonly stream: string;
  readonly sequence: number;
}

/** `deposed`: another instance has taken over, and nothing was recorded. */
export type Recorded =
  | { readonly kind: 'recorded'; readonly fresh: ReadonlySet<string> }
  | { readonly kind: 'deposed' };

/**
 * Records events of one consumer unless they were recorded before. While another transaction records one of them, this one
 * waits for its outcome, so that of two instances exactly one goes on. In the order of their ids: two instances with
 * overlapping batches wait for each other instead of deadlocking. With a lease, only while that is held.
 */
export async function recordNew(
  transaction: Transaction,
  options: {
    readonly consumer: string;
    readonly events: readonly InboxRecord[];
    readonly lease?: ConsumerLease | undefined;
  },
): Promise<Recorded> {
  const { consumer, events, lease } = options;
  const [only, ...others] = events;
  if (
    only !== undefined &&
    others.length === 0 &&
    (await recordFresh(transaction, { consumer, event: only, lease }))
  )
    return { kind: 'recorded', fresh: new Set([only.eventId]) };
  const parameters = [consumer, JSON.stringify(events)];
  const held = lease === undefined ? 'true' : leaseHeld({ consumer: '$3::text', epoch: '$4::text::bigint' });
  const rows = await transaction.run(
    `WITH ruling AS MATERIALIZED (SELECT ${held} AS held),
          recorded AS (
            INSERT INTO postcommit.inbox (consumer, event_id, stream, sequence)
            SELECT $1::text, "eventId", stream, sequence
              FROM json_to_recordset($2::text::json) AS event ("eventId" text, stream text, sequence bigint), ruling
             WHERE ruling.held
             ORDER BY "eventId"
            ON CONFLICT DO NOTHING RETURNING event_id)
     SELECT ruling.held::text AS held, (SELECT json_agg(event_id)::text FROM recorded) AS fresh FROM ruling`,
    lease === undefined ? parameters : [...parameters, lease.consumer, String(lease.epoch)],
  );
  if (rows[0]?.held !== 'true') return { kind: 'deposed' };
  const fresh = JSON.parse(String(rows[0].fresh ?? '[]')) as string[];
  if (fresh.length < events.length) await liftPlaces(transaction, { consumer, events });
  return { kind: 'recorded', fresh: new Set(fresh) };
}

/**
 * The usual case, with a statement that takes the server half the time: planning is most of it. False: the event was recorded
 * before, or another instance has taken over.
 */
async function recordFresh(
  transaction: Transaction,
  options: {
    readonly consumer: string;
    readonly event: InboxRecord;
    readonly lease: ConsumerLease | undefined;
  },
): Promise<boolean> {
  const { consumer, event, lease } = options;
  const held = lease && leaseHeld({ consumer: '$5::text', epoch: '$6::text::bigint' });
  const rows = await transaction.run(
    `INSERT INTO postcommit.inbox (consumer, event_id, stream, sequence)
     SELECT $1::text, $2::text, $3::text, $4::text::bigint ${held === undefined ? '' : `WHERE ${held}`}
     ON CONFLICT DO NOTHING RETURNING true AS fresh`,
    [
      consumer,
      event.eventId,
      event.stream,
      String(event.sequence),
      ...(lease === undefined ? [] : [lease.consumer, String(lease.epoch)]),
    ],
  );
  return rows.length === 1;
}
