import { type ConsumerLease, leaseHeld } from '../lease/consumer-lease.ts';
import { withLiterals } from '../postgres/literals.ts';
import type { Row, Transaction } from '../postgres/transaction-handle.ts';
import { liftPlaces } from './places.ts';

/** What a consumer has seen: one message, and where it came from. */
export interface InboxRecord {
  readonly eventId: string;
  readonly stream: string;
  readonly sequence: number;
}

export interface RecordOptions {
  readonly consumer: string;
  readonly events: readonly InboxRecord[];
  /** They are recorded only while it is held. */
  readonly lease?: ConsumerLease | undefined;
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
export async function recordNew(transaction: Transaction, options: RecordOptions): Promise<Recorded> {
  const { text, values } = statementOf(options);
  return judgeRecord(transaction, options, await transaction.run(text, values));
}

/** Its statement with the values in it, to go out together with others; undefined where a value cannot be said that way. */
export function recordText(options: RecordOptions): string | undefined {
  const { text, values } = statementOf(options);
  // A text ends there for the server. As a parameter it is an error.
  if (values.some((value) => value.includes('\0'))) return undefined;
  return withLiterals(text, values);
}

/** What the rows of the statement say; where they say that not all is new, more statements find out. */
export async function judgeRecord(
  transaction: Transaction,
  options: RecordOptions,
  rows: readonly Row[],
): Promise<Recorded> {
  const { consumer, events } = options;
  const [only, ...others] = events;
  if (only !== undefined && others.length === 0) {
    if (rows.length === 1) return { kind: 'recorded', fresh: new Set([only.eventId]) };
    // It was recorded before, or another instance has taken over.
    const { text, values } = manyStatement(options);
    return judgeMany(transaction, { consumer, events }, await transaction.run(text, values));
  }
  return judgeMany(transaction, { consumer, events }, rows);
}

async function judgeMany(
  transaction: Transaction,
  { consumer, events }: Pick<RecordOptions, 'consumer' | 'events'>,
  [row]: readonly Row[],
): Promise<Recorded> {
  if (row?.held !== 'true') return { kind: 'deposed' };
  const fresh = JSON.parse(String(row.fresh ?? '[]')) as string[];
  if (fresh.length < events.length) await liftPlaces(transaction, { consumer, events });
  return { kind: 'recorded', fresh: new Set(fresh) };
}

interface Statement {
  readonly text: string;
  readonly values: readonly string[];
}

function statementOf(options: RecordOptions): Statement {
  const [only, ...others] = options.events;
  return only === undefined || others.length > 0 ? manyStatement(options) : singleStatement(options, only);
}

/** The usual case, which takes the server half the time: planning is most of it. No row: not recorded. */
function singleStatement(
  { consumer, lease }: RecordOptions,
  { eventId, stream, sequence }: InboxRecord,
): Statement {
  const held = lease && leaseHeld({ consumer: '$5::text', epoch: '$6::text::bigint' });
  return {
    text: `INSERT INTO postcommit.inbox (consumer, event_id, stream, sequence)
     SELECT $1::text, $2::text, $3::text, $4::text::bigint ${held === undefined ? '' : `WHERE ${held}`}
     ON CONFLICT DO NOTHING RETURNING true AS fresh`,
    values: [consumer, eventId, stream, String(sequence), ...leaseValues(lease)],
  };
}

function manyStatement({ consumer, events, lease }: RecordOptions): Statement {
  const held = lease === undefined ? 'true' : leaseHeld({ consumer: '$3::text', epoch: '$4::text::bigint' });
  return {
    text: `WITH ruling AS MATERIALIZED (SELECT ${held} AS held),
          recorded AS (
            INSERT INTO postcommit.inbox (consumer, event_id, stream, sequence)
            SELECT $1::text, "eventId", stream, sequence
              FROM json_to_recordset($2::text::json) AS event ("eventId" text, stream text, sequence bigint), ruling
             WHERE ruling.held
             ORDER BY "eventId"
            ON CONFLICT DO NOTHING RETURNING event_id)
     SELECT ruling.held::text AS held, (SELECT json_agg(event_id)::text FROM recorded) AS fresh FROM ruling`,
    values: [consumer, JSON.stringify(events), ...leaseValues(lease)],
  };
}

function leaseValues(lease: ConsumerLease | undefined): string[] {
  return lease === undefined ? [] : [lease.consumer, String(lease.epoch)];
}
