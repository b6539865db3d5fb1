import type { Session } from '../postgres/session.ts';
import type { FailedAttempt } from './failures-schema.ts';

/** A dead letter as an operator sees it. Never its payload, unless that is asked for. */
export interface ListedLetter {
  readonly id: number;
  readonly state: string;
  readonly outcome: string;
  readonly stream: string;
  readonly consumer: string | null;
  readonly position: number | null;
  readonly eventId: string;
  readonly subject: string;
  readonly key: string | null;
  readonly type: string | null;
  readonly attempts: number;
  readonly firstFailedAt: string;
  readonly lastFailedAt: string;
  readonly reason: string;
  /** A consumer's last attempts, oldest first; empty for the relay's. */
  readonly history: readonly FailedAttempt[];
}

export interface Listing {
  /** Those that await a decision; all, with what is over, when true. */
  readonly all: boolean;
  readonly ids?: readonly number[] | undefined;
  readonly stream?: string | undefined;
  readonly outcome?: string | undefined;
  readonly keys?: readonly string[] | undefined;
  readonly consumer?: string | undefined;
  readonly limit: number;
}

/** Oldest first. */
export async function listLetters(session: Session, listing: Listing): Promise<ListedLetter[]> {
  const { all, ids, stream, outcome, keys, consumer, limit } = listing;
  const rows = await session.query({
    text: `select id, state, outcome, stream, consumer, position, event_id, subject, key, type, attempts,
                  to_json(first_failed_at) #>> '{}', to_json(last_failed_at) #>> '{}', reason, history
             from postcommit.dead_letters
            where ($1::boolean or state in ('marking', 'parked', 'held', 'retrying'))
              and ($2::int8[] is null or id = any($2)) and ($3::text is null or stream = $3)
              and ($4::text is null or outcome = $4) and ($5::text[] is null or key = any($5))
              and ($7::text is null or consumer = $7)
            order by id limit $6`,
    values: [all, ids ?? null, stream ?? null, outcome ?? null, keys ?? null, limit, consumer ?? null],
  });
  return rows.map((row) => ({
    id: Number(row[0]),
    state: row[1] as string,
    outcome: row[2] as string,
    stream: row[3] as string,
    consumer: row[4] ?? null,
    position: row[5] == null ? null : Number(row[5]),
    eventId: row[6] as string,
    subject: row[7] as string,
    key: row[8] ?? null,
    type: row[9] ?? null,
    attempts: Number(row[10]),
    firstFailedAt: row[11] as string,
    lastFailedAt: row[12] as string,
    reason: row[13] as string,
    history: JSON.parse(row[14] ?? '[]') as FailedAttempt[],
  }));
}

/** The first bytes of a dead letter's payload, and how many there are; null if it is gone. */
export async function payloadPartOf(
  session: Session,
  { id, atMost }: { id: number; atMost: number },
): Promise<{ bytes: number; part: Buffer } | null> {
  const [row] = await session.query({
    text: `select octet_length(p.payload), substring(p.payload from 1 for $2)::text from (
             select coalesce(d.payload, o.payload) as payload from postcommit.dead_letters d
               left join postcommit.outbox o on d.consumer is null and o.position = d.position where d.id = $1) p`,
    values: [id, atMost],
  });
  return row?.[1] == null ? null : { bytes: Number(row[0]), part: Buffer.from(row[1].slice(2), 'hex') };
}

/** The payload of a dead letter: kept with it, or in its outbox row; null if both are gone. */
export async function payloadOf(session: Session, id: number): Promise<Buffer | null> {
  const [row] = await session.query({
    text: `select coalesce(d.payload, o.payload)::text from postcommit.dead_letters d
             left join postcommit.outbox o on d.consumer is null and o.position = d.position where d.id = $1`,
    values: [id],
  });
  return row?.[0] == null ? null : Buffer.from(row[0].slice(2), 'hex');
}
