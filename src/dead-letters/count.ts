import type { Session } from '../postgres/session.ts';
import type { Transaction } from '../postgres/transaction-handle.ts';

/** Dead letters that await a decision. */
export async function countDeadLetters(session: Session): Promise<number> {
  const [row] = await session.query({
    name: 'postcommit_count_dead_letters',
    text: "select count(*) from postcommit.dead_letters where state in ('parked', 'held')",
  });
  return Number(row?.[0] ?? 0);
}

/** Dead letters of one stream, or of one consumer of it, that await a decision. */
export interface LetterCount {
  readonly stream: string;
  /** Null: the relay's. */
  readonly consumer: string | null;
  readonly letters: number;
  /** Why the newest of them is one. */
  readonly reason: string;
}

export async function countDeadLettersByOrigin(session: Session): Promise<LetterCount[]> {
  const rows = await session.query({
    text: `with waiting as (
             select stream, consumer, count(*) as letters, max(id) as newest
               from postcommit.dead_letters where state in ('parked', 'held') group by stream, consumer)
           select w.stream, w.consumer, w.letters, left(d.reason, 300)
             from waiting w join postcommit.dead_letters d on d.id = w.newest order by w.letters desc`,
  });
  return rows.map(([stream, consumer, letters, reason]) => ({
    stream: stream ?? '',
    consumer: consumer ?? null,
    letters: Number(letters),
    reason: reason ?? '',
  }));
}

/** More than that many are as bad as that many. */
const COUNTED_AT_MOST = 10_000;

/** Of a consumer, those that await a decision, up to 10,000. */
export async function countConsumerLetters(transaction: Transaction, consumer: string): Promise<number> {
  const [row] = await transaction.run(
    `SELECT count(*)::text AS letters
       FROM (SELECT FROM postcommit.dead_letters
              WHERE consumer = $1::text AND state = 'parked' LIMIT ${COUNTED_AT_MOST}) AS counted`,
    [consumer],
  );
  return Number(row?.letters ?? 0);
}
