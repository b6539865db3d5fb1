import type { Pool } from 'pg';
import type { Facts } from './proof.ts';
import type { StreamObserver } from './stream-observer.ts';

export interface Sources {
  readonly pool: Pool;
  readonly observer: StreamObserver;
  readonly rolledBack: readonly string[];
  readonly redelivered: number;
  readonly refused: number;
}

/** Counts everything where it is: the ledger and the read model in PostgreSQL, the messages in the stream. */
export async function gatherFacts(sources: Sources): Promise<Facts> {
  const { pool, observer, rolledBack, redelivered, refused } = sources;
  const [committed, stream, effects, differences] = await Promise.all([
    readLedger(pool),
    observer.readAll(),
    readEffects(pool),
    countDifferences(pool),
  ]);
  return { committed, rolledBack, stream, effects, differences, redelivered, refused };
}

async function readLedger(pool: Pool): Promise<Facts['committed']> {
  const { rows } = await pool.query<{ id: string; patient: string; version: number }>(
    'SELECT event_id AS id, patient, version FROM registry.change',
  );
  return rows;
}

async function readEffects(pool: Pool): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(
    'SELECT event_id AS id FROM directory.effect ORDER BY place',
  );
  return rows.map(({ id }) => id);
}

/** Every event raises the version by one, so the read model has seen as many changes as the version says. */
async function countDifferences(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ count: string }>(
    `SELECT count(*) FROM registry.patient r FULL JOIN directory.patient d USING (id)
     WHERE (r.country, r.name, r.version, r.version) IS DISTINCT FROM (d.country, d.name, d.version, d.changes)`,
  );
  return Number(rows[0]?.count);
}
