import type { NewLetter } from '../dead-letters/letter.ts';
import { insertLetters, lettersParameter } from '../dead-letters/write-letters.ts';
import { encodeMultirange, formatMultirange } from '../postgres/position-ranges.ts';
import { type Session, sqlState } from '../postgres/session.ts';
import type { Batch } from './batch.ts';

/** `fenced`: another leader holds the epoch, or has planned this batch number. Step down at once. */
export type PlanOutcome = 'planned' | 'fenced';

/** What has to become true together with the rows of a plan. */
export interface PlannedLetters {
  /** Events that these rows leave out, or whose slots they turn into markers. */
  readonly letters?: readonly NewLetter[];
  /** Dead letters that these rows send again, each on the stream of its row. */
  readonly retried?: readonly Retried[];
}

export interface Retried {
  readonly stream: string;
  readonly position: number;
}

/**
 * Writes rows of the log, of one lane or of several, in one statement, and with it (section 2.4 of the design): makes
 * durable everything their read saw, fences other leaders, and fixes what goes where. Nothing may be published before
 * it returns `planned`. All rows are of one epoch.
 *
 * @throws on anything else, also on a WARNING: the wait for a synchronous standby may have been cancelled, so nobody
 * knows whether the rows stand. The log has to be read again.
 */
export async function planIfLeading(
  session: Session,
  rows: readonly Batch[],
  { letters = [], retried = [] }: PlannedLetters = {},
): Promise<PlanOutcome> {
  const [row] = rows;
  if (row === undefined) throw new Error('a plan without rows');
  const alone = rows.length === 1 && letters.length === 0 && retried.length === 0;
  try {
    const written = await session.queryStrictly(alone ? insertOne(row) : insertAll(rows, letters, retried));
    return written.length === rows.length ? 'planned' : 'fenced';
  } catch (error) {
    if (sqlState(error) === '23505') return 'fenced';
    throw error;
  }
}

const COLUMNS = `stream, incarnation, batch, epoch, ordering, kind, first_sequence, last_sequence, settled_to,
  settled_batch, positions, parked, read_to, open_from, subject_prefix`;

/** The hot path: prepared, without JSON, and with positions in binary: beside a bulk transaction each is a range of its own. */
function insertOne(row: Batch) {
  return {
    name: 'postcommit_plan',
    text: `insert into postcommit.batches (${COLUMNS})
           select $1, $2, $3, epoch, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
             from postcommit.lease where epoch = $4
           returning 1`,
    values: [
      row.stream,
      row.incarnation,
      row.batch,
      row.epoch,
      row.ordering,
      row.kind,
      row.firstSequence,
      row.lastSequence,
      row.settledTo,
      row.settledBatch,
      encodeMultirange(row.positions),
      encodeMultirange(row.parked),
      row.readTo,
      row.openFrom,
      row.subjectPrefix,
    ],
  };
}

function insertAll(rows: readonly Batch[], letters: readonly NewLetter[], retried: readonly Retried[]) {
  return {
    name: 'postcommit_plan_all',
    text: `with chair as materialized (select epoch from postcommit.lease where epoch = $1),
           dead as (
             ${insertLetters('$3')}),
           retried as (
             update postcommit.dead_letters d set state = 'retrying', stream = r.stream
               from chair, jsonb_to_recordset($4::jsonb) as r(stream text, position int8)
              where d.consumer is null and d.position = r.position)
           insert into postcommit.batches (${COLUMNS})
           select r.stream, r.incarnation, r.batch, chair.epoch, r.ordering, r.kind, r.first_sequence, r.last_sequence,
                  r.settled_to, r.settled_batch, r.positions, r.parked, r.read_to, r.open_from, r.subject_prefix
             from chair, jsonb_to_recordset($2::jsonb)
               as r(stream text, incarnation text, batch int8, ordering text, kind text, first_sequence int8,
                    last_sequence int8, settled_to int8, settled_batch int8, positions int8multirange,
                    parked int8multirange, read_to int8, open_from int8, subject_prefix text)
           returning 1`,
    values: [
      rows[0]?.epoch,
      JSON.stringify(rows.map(toRecord)),
      lettersParameter(letters),
      JSON.stringify(retried),
    ],
  };
}

function toRecord(row: Batch): object {
  return {
    stream: row.stream,
    incarnation: row.incarnation,
    batch: row.batch,
    ordering: row.ordering,
    kind: row.kind,
    first_sequence: row.firstSequence,
    last_sequence: row.lastSequence,
    settled_to: row.settledTo,
    settled_batch: row.settledBatch,
    positions: formatMultirange(row.positions),
    parked: formatMultirange(row.parked),
    read_to: row.readTo,
    open_from: row.openFrom,
    subject_prefix: row.subjectPrefix,
  };
}
