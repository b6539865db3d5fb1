import type pg from 'pg';
import { expect } from 'vitest';

export interface DeadLetter {
  readonly id: number;
  readonly position: number;
  readonly stream: string;
  readonly state: string;
  readonly outcome: string;
  readonly reason: string;
  readonly attempts: number;
}

/** All of the relay's, in position order. */
export async function readLetters(pool: pg.Pool): Promise<DeadLetter[]> {
  const { rows } = await pool.query(
    `select id::int, position::int, stream, state, outcome, reason, attempts from postcommit.dead_letters
      where consumer is null order by position`,
  );
  return rows;
}

/** Position and state of each. */
export async function letterStates(pool: pg.Pool): Promise<(readonly [number, string])[]> {
  return (await readLetters(pool)).map(({ position, state }) => [position, state] as const);
}

export async function untilLetters(
  pool: pg.Pool,
  states: readonly (readonly [number, string])[],
  timeoutMs = 10_000,
): Promise<void> {
  await expect.poll(() => letterStates(pool), { timeout: timeoutMs, interval: 20 }).toEqual(states);
}

/** Asks the leader and waits for its answer. */
export async function askLeader(
  pool: pg.Pool,
  kind: string,
  detail: object = {},
): Promise<Record<string, unknown>> {
  const { rows } = await pool.query(
    'insert into postcommit.requests (kind, detail) values ($1, $2) returning id',
    [kind, JSON.stringify(detail)],
  );
  const { id } = rows[0];
  const answer = async () =>
    (await pool.query('select finished_at, result from postcommit.requests where id = $1', [id])).rows[0];
  await expect
    .poll(async () => (await answer()).finished_at, { timeout: 20_000, interval: 20 })
    .not.toBeNull();
  return (await answer()).result;
}
