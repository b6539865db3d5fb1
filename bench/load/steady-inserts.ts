import pg from 'pg';
import { sleep } from '../../src/lifecycle/abort.ts';

export interface SteadyInserts {
  readonly table: string;
  readonly stream: string;
  readonly perSecond: number;
  readonly seconds: number;
}

const EVERY_MS = 10;
const PAYLOAD_BYTES = 256;

/**
 * Inserts a handful of events every 10 ms by the clock, whatever the last ones took. Returns how many it were. Its sessions
 * end with it: one that only falls silent keeps its statistics to itself for 10 s more.
 */
export async function insertSteadily(
  url: string,
  { table, stream, perSecond, seconds }: SteadyInserts,
): Promise<number> {
  const rows = Math.round((perSecond * EVERY_MS) / 1_000);
  const times = Math.round((seconds * 1_000) / EVERY_MS);
  const pool = new pg.Pool({ connectionString: url, max: 4 });
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
  await pool.end();
  return rows * times;
}
