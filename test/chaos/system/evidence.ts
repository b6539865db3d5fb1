import { readDead, readLog, readOutbox, readStream } from '../../support/stream-history.ts';
import type { Evidence } from './checker.ts';
import { DURABLE, type World } from './world.ts';

/** Counts everything where it is: what was committed in the ledger, what is stored in the stream. */
export async function gatherEvidence(world: World, { lateMs }: Pick<Evidence, 'lateMs'>): Promise<Evidence> {
  const { pool, brokers, stream, plan, writers, relays } = world;
  const ledger = await pool.query(
    `select event_id as id, key, version, subject, digest, committed_in::text::float8 as "committedIn",
            begun_after::text::float8 as "begunAfter" from chaos.ledger order by key, version`,
  );
  const effects = await pool.query(
    'select event_id as id from chaos.effect where consumer = $1 order by place',
    [DURABLE],
  );
  const letters = await pool.query(
    `select event_id as id, state, outcome, reason from postcommit.dead_letters where consumer is null`,
  );
  const displaced = await pool.query('select distinct position::float8 from chaos.displaced');
  const log = await readLog(pool, stream);
  const messages = await readStream(brokers.jsm, stream);
  return {
    ordering: plan.ordering,
    ledger: ledger.rows,
    messages,
    effects: effects.rows.map(({ id }) => id),
    letters: letters.rows,
    displaced: displaced.rows.map(({ position }) => position),
    log,
    history:
      plan.retention === 'long'
        ? { outbox: await readOutbox(pool), dead: await readDead(pool), messages, log }
        : undefined,
    writersRefused: writers.refused,
    peakMiB: Math.max(...relays.map(({ peakMiB }) => peakMiB)),
    lateMs,
  };
}
