import type pg from 'pg';
import { sleep } from '../../src/lifecycle/abort.ts';

export interface SteadyInserts {
  readonly table: string;
  readonly stream: string;
  readonly perSecond: number;
  readonly seconds: number;
}

const EVERY_MS = 10;
const PAYLOAD_BYTES = 256;

/** Inserts a handful of events every 10 ms by the clock, whatever the last ones took. Returns how many it were. */
export async function insertSteadily(
  pool: pg.Pool,
  { table, stream, perSecond, seconds }: SteadyInserts,
): Promise<number> {
  const rows = Math.round((perSecond * EVERY_MS) / 1_000);
  const times = Math.round((seconds * 1_000) / EVERY_MS);
  const startMs = performance.now();
  const writing: Promise<unknown>[] = [];
  for (let i = 0; i < times; i++) {
    await sleep(Math.max(0, startMs + i * EVERY_MS - performance.now()));
    writing.push(
      pool.query(
        `insert into ${table} (subject, key, payload)
         select $1 || '.bench', 'key', convert_to(repeat('x', $2), 'UTF8') from generate_series(1, $3)`,
        [stream, PAYLOAD_BYTES, rows],
      ),
    );
  }
  await Promise.all(writing);
  return rows * times;
}
