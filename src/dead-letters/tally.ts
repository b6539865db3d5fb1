import type { Session } from '../postgres/session.ts';

/** How many dead letters await something, by whose and why. */
export interface LetterTally {
  /** Null for the relay's. */
  readonly consumer: string | null;
  readonly stream: string;
  readonly state: string;
  readonly outcome: string;
  readonly letters: number;
}

export async function tallyLetters(session: Session): Promise<LetterTally[]> {
  const rows = await session.query({
    name: 'postcommit_tally_letters',
    text: `select consumer, stream, state, outcome, count(*) from postcommit.dead_letters
            where state in ('marking', 'parked', 'held', 'retrying')
            group by consumer, stream, state, outcome order by consumer nulls first, stream, state, outcome`,
  });
  return rows.map(([consumer, stream, state, outcome, letters]) => ({
    consumer: consumer ?? null,
    stream: stream ?? '',
    state: state ?? '',
    outcome: outcome ?? '',
    letters: Number(letters),
  }));
}
