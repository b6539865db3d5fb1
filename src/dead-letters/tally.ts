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

/** Beyond this many it does not matter any more. */
const COUNTED_AT_MOST = 100_000;

export async function tallyLetters(session: Session): Promise<LetterTally[]> {
  const rows = await session.query({
    name: 'postcommit_tally_letters',
    text: `select consumer, stream, state, outcome, count(*) from (select * from postcommit.dead_letters
                    where state in ('marking', 'parked', 'held', 'retrying') limit ${COUNTED_AT_MOST}) l
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

/** Of these positions, those of dead letters of the relay's that await something. */
export async function openLettersAt(session: Session, positions: readonly number[]): Promise<number[]> {
  if (positions.length === 0) return [];
  const rows = await session.query({
    name: 'postcommit_open_letters_at',
    text: `select position from postcommit.dead_letters
            where consumer is null and position = any($1::int8[]) and state in ('marking', 'parked', 'held', 'retrying')`,
    values: [positions],
  });
  return rows.map(([position]) => Number(position));
}
