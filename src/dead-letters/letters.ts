import type { StoredEvent } from '../event.ts';
import { WITHOUT_STANDBYS } from '../lease/lease.ts';
import { readStoredEvents } from '../outbox/read.ts';
import type { Session } from '../postgres/session.ts';
import type { LetterOutcome, NewLetter, OpenLetter } from './letter.ts';
import { insertLetters, lettersParameter } from './write-letters.ts';

/** The relay's dead letters of one stream that are not over, in position order. */
export async function openLetters(session: Session, stream: string): Promise<OpenLetter[]> {
  const rows = await session.query({
    text: `select id, position, key, state, outcome from postcommit.dead_letters
            where state in ('marking', 'parked', 'held', 'retrying') and consumer is null and stream = $1
            order by position`,
    values: [stream],
  });
  return rows.map(([id, position, key, state, outcome]) => ({
    id: Number(id),
    position: Number(position),
    key: key ?? null,
    state: state as OpenLetter['state'],
    outcome: outcome as LetterOutcome,
  }));
}

/** What became of dead letters, by position. */
export interface LetterFates {
  /** Their marker is stored: they wait for a decision now, or behind the head of their key. */
  readonly marked: readonly number[];
  /** They are in the stream after all, or at last. */
  readonly stored: readonly number[];
}

/** Writes down what became of dead letters. False: another epoch leads, and nothing was written. */
export async function settleLettersIfLeading(
  session: Session,
  epoch: number,
  { marked, stored }: LetterFates,
): Promise<boolean> {
  const rows = await session.query({
    name: 'postcommit_settle_letters',
    text: `with chair as materialized (select epoch from postcommit.lease where epoch = $1 for share),
           settled as (
             update postcommit.dead_letters
                set state = case when position = any($3::int8[]) then 'resolved'
                                 when outcome = 'held' then 'held' else 'parked' end
              where consumer is null and exists (select from chair)
                and (position = any($3::int8[]) and state in ('marking', 'parked', 'held', 'retrying')
                     or position = any($2::int8[]) and state = 'marking'))
           select ${WITHOUT_STANDBYS} from chair`,
    values: [epoch, marked, stored],
  });
  return rows.length === 1;
}

/** Content of events whose outbox row is gone, in position order: it was kept with the dead letter. */
export async function readKeptEvents(session: Session, positions: readonly number[]): Promise<StoredEvent[]> {
  if (positions.length === 0) return [];
  const statement = {
    text: `select position, event_id, subject, key, type, nullif(headers::text, '{}'), payload,
                  date_part('epoch', first_failed_at)
             from postcommit.dead_letters
            where consumer is null and payload is not null and position = any($1::int8[]) order by position`,
    values: [positions],
  };
  return readStoredEvents(session, statement, { many: false });
}

const PRUNE_AT_MOST = 5_000;

/** Removes dead letters that have been over for longer than the retention; the requests that ended them stay longer. */
export async function pruneLetters(session: Session, retentionMs: number): Promise<void> {
  await session.query({
    name: 'postcommit_prune_letters',
    text: `delete from postcommit.dead_letters where id in (
             select id from postcommit.dead_letters
              where state in ('resolved', 'discarded') and last_failed_at < clock_timestamp() - $1 * interval '1 millisecond'
              limit ${PRUNE_AT_MOST})`,
    values: [retentionMs],
  });
}

/**
 * Those of these events that are not this stream's to send: set aside, for good or until an operator decides, or
 * `elsewhere`, taken over by another stream (a copy of such an event may be this one's all the same).
 */
export async function settledPositions(
  session: Session,
  stream: string,
  positions: readonly number[],
): Promise<{ readonly position: number; readonly elsewhere: boolean }[]> {
  if (positions.length === 0) return [];
  const rows = await session.query({
    text: `select position, (state in ('retrying', 'resolved'))::text from postcommit.dead_letters
            where consumer is null and position = any($1::int8[])
              and (state in ('marking', 'parked', 'held', 'discarded')
                   or state in ('retrying', 'resolved') and stream <> $2)`,
    values: [positions, stream],
  });
  return rows.map(([position, elsewhere]) => ({
    position: Number(position),
    elsewhere: elsewhere === 'true',
  }));
}

/** Sets events aside that have no slot to be marked. False: another epoch leads, and nothing was written. */
export async function parkIfLeading(
  session: Session,
  epoch: number,
  letters: readonly NewLetter[],
): Promise<boolean> {
  const rows = await session.query({
    name: 'postcommit_park_letters',
    text: `with chair as materialized (select epoch from postcommit.lease where epoch = $1 for share),
           parked as (
             ${insertLetters('$2')})
           select ${WITHOUT_STANDBYS} from chair`,
    values: [epoch, lettersParameter(letters)],
  });
  return rows.length === 1;
}
