import { WITHOUT_STANDBYS } from '../lease/lease.ts';
import type { Session } from '../postgres/session.ts';

/** Which of the relay's dead letters an operator means. Without any condition: all that await a decision. */
export interface LetterSelection {
  readonly ids?: readonly number[] | undefined;
  readonly stream?: string | undefined;
  readonly outcome?: string | undefined;
  readonly keys?: readonly string[] | undefined;
}

const MATCHES = `d.consumer is null and d.state in ('parked', 'held')
  and ($1::int8[] is null or d.id = any($1)) and ($2::text is null or d.stream = $2)
  and ($3::text is null or d.outcome = $3) and ($4::text[] is null or d.key = any($4))`;

function valuesOf({ ids, stream, outcome, keys }: LetterSelection): unknown[] {
  return [ids ?? null, stream ?? null, outcome ?? null, keys ?? null];
}

/**
 * Positions of selected letters in their order, and with a dead head what waits behind it; a letter whose head is not
 * selected is left out, it would overtake it.
 */
export async function positionsToRetry(session: Session, selection: LetterSelection): Promise<number[]> {
  const rows = await session.query({
    name: 'postcommit_select_letters',
    text: `with chosen as materialized (
             select d.id, d.stream, d.key from postcommit.dead_letters d where ${MATCHES}),
           due as (
             select d.* from postcommit.dead_letters d
              where d.consumer is null and d.state in ('parked', 'held')
                and (d.id in (select id from chosen)
                     or d.state = 'held' and exists (select from chosen c where c.stream = d.stream and c.key = d.key)))
           select d.position from due d
            where (d.state = 'parked' or not exists (
                    select from postcommit.dead_letters head
                     where head.consumer is null and head.stream = d.stream and head.key = d.key
                       and head.position < d.position and head.state in ('marking', 'parked', 'held')
                       and head.id not in (select id from due)))
            order by d.position`,
    values: valuesOf(selection),
  });
  return rows.map(([position]) => Number(position));
}

export interface Discarded {
  readonly position: number;
  readonly stream: string;
  readonly key: string | null;
}

/** Gives letters up. Undefined: another epoch leads, and nothing was written. */
export async function discardIfLeading(
  session: Session,
  epoch: number,
  selection: LetterSelection,
): Promise<Discarded[] | undefined> {
  const rows = await session.query({
    name: 'postcommit_discard_letters',
    text: `with chair as materialized (select epoch from postcommit.lease where epoch = $5 for share),
           gone as (
             update postcommit.dead_letters d set state = 'discarded'
              where ${MATCHES} and exists (select from chair) returning d.position, d.stream, d.key)
           select g.position, g.stream, g.key, ${WITHOUT_STANDBYS} from chair left join gone g on true order by g.position`,
    values: [...valuesOf(selection), epoch],
  });
  if (rows.length === 0) return undefined;
  return rows
    .filter(([position]) => position !== null)
    .map(([position, stream, key]) => ({
      position: Number(position),
      stream: stream as string,
      key: key ?? null,
    }));
}
