import type pg from 'pg';
import { expect } from 'vitest';
import type { LaneOptions } from '../../src/relay/index.ts';
import { openStage, type Stage, type StageOptions } from '../guarantees/stage.ts';
import type { StreamMessage } from './stream-history.ts';

/** What copies have before their subjects in these tests. */
export const PREFIX = 'again';

/** A stage whose stream also takes the copies of its events, by a lane that does so, too. */
export async function openReplayStage(options: StageOptions = {}): Promise<Stage & { lane: LaneOptions }> {
  const stage = await openStage(options);
  const subjects = [`${stage.stream}.>`, `${PREFIX}.${stage.stream}.>`];
  await stage.jsm.streams.update(stage.stream, { subjects });
  return Object.assign(stage, { lane: { stream: stage.stream, subjects } });
}

/** Writes a request and returns its number. */
export async function askForReplay(pool: pg.Pool, detail: object): Promise<number> {
  const { rows } = await pool.query(
    `insert into postcommit.requests (kind, detail) values ('replay', $1) returning id::int`,
    [JSON.stringify(detail)],
  );
  return rows[0].id;
}

export interface RequestRow {
  readonly finished: boolean;
  readonly result: Record<string, unknown> | null;
}

export async function requestRow(pool: pg.Pool, id: number): Promise<RequestRow> {
  const { rows } = await pool.query(
    'select finished_at is not null as finished, result from postcommit.requests where id = $1',
    [id],
  );
  return rows[0];
}

export async function untilFinished(pool: pg.Pool, id: number): Promise<RequestRow['result']> {
  await expect
    .poll(async () => (await requestRow(pool, id)).finished, { timeout: 30_000, interval: 20 })
    .toBe(true);
  return (await requestRow(pool, id)).result;
}

export function isCopy({ subject }: StreamMessage): boolean {
  return subject.startsWith(`${PREFIX}.`);
}

/** Rows of copies in a stream's log. */
export async function replayRows(pool: pg.Pool, stream: string) {
  const { rows } = await pool.query(
    `select (select sum(upper(r) - lower(r))::int from unnest(positions) r) as events, subject_prefix as prefix,
            (date_part('epoch', planned_at) * 1000)::float8 as "plannedAtMs"
       from postcommit.batches where stream = $1 and kind = 'replay' order by batch`,
    [stream],
  );
  return rows as { events: number; prefix: string | null; plannedAtMs: number }[];
}

/** As a leader that dies after it has planned copies, and before it sends any. */
export async function planCopies(
  pool: pg.Pool,
  row: { stream: string; positions: readonly number[]; prefix: string },
): Promise<void> {
  await pool.query(
    `insert into postcommit.batches (stream, incarnation, batch, epoch, ordering, kind, first_sequence, last_sequence,
       settled_to, settled_batch, positions, read_to, open_from, subject_prefix)
     select stream, incarnation, batch + 1, epoch, ordering, 'replay', last_sequence + 1,
            last_sequence + cardinality($2::int8[]), settled_to, settled_batch,
            (select range_agg(int8range(p, p, '[]')) from unnest($2::int8[]) p), read_to, open_from, $3
       from postcommit.batches where stream = $1 order by batch desc limit 1`,
    [row.stream, row.positions, row.prefix],
  );
}
