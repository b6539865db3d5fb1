import { sleep } from '../../../src/lifecycle/abort.ts';
import { query } from '../../support/query.ts';
import { type Act, createDirectedScene } from '../directed/act.ts';
import type { DirectedRelay } from '../directed/relay.ts';
import type { Stage } from '../directed/stage.ts';
import { happens, until } from '../directed/waiting.ts';

/** Long enough for a relay that errs to be asleep; one that does not is in no hurry. */
const ASLEEP_MS = 500;
/** Far below the sweep's five seconds, far above what a wake-up takes on a busy machine. */
const STORED_WITHIN_MS = 2_500;

/** P1: it has seen the flag down, is silent, and ends long after the flag is up. */
const silentHolder: Act = {
  name: 'a writer that has seen the flag down',
  async play(stage, random) {
    const relay = await stage.startRelay();
    const parking = relay.wires.postgres.hold('postcommit_park');
    if (!(await happens(parking.reached, 8_000))) return ['liveness: the relay did not want to park'];
    const client = await stage.client();
    await client.query('begin');
    await stage.write(random.between(1, 3), { by: client });
    parking.release();
    await untilFlagIsUp(stage);
    await sleep(ASLEEP_MS);
    await client.query('commit');
    return promptly(stage, relay);
  },
};

/** P1: committed between the last look and the flag, and gone when the holders are listed. */
const lateCommit: Act = {
  name: 'a commit just before the flag is up',
  async play(stage, random) {
    const relay = await stage.startRelay();
    const parking = relay.wires.postgres.hold('postcommit_park');
    if (!(await happens(parking.reached, 8_000))) return ['liveness: the relay did not want to park'];
    await stage.write(random.between(1, 3));
    parking.release();
    return promptly(stage, relay);
  },
};

/** P3: what is notified while nobody listens reaches nobody. */
const lostListener: Act = {
  name: 'a notification while nobody listens',
  async play(stage, random) {
    const relay = await stage.startRelay();
    await untilFlagIsUp(stage);
    await sleep(ASLEEP_MS);
    relay.postgres.refuse();
    await query(
      stage.databaseUrl,
      `select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'postcommit listen' and datname = current_database()`,
    );
    await sleep(random.between(10, 50));
    await stage.write(1);
    await relay.postgres.accept();
    return promptly(stage, relay);
  },
};

/** Writers at the edge of quiet: each commit falls somewhere into the parking of the one before. */
const aroundParking: Act = {
  name: 'commits around the moment of parking',
  async play(stage, random) {
    const relay = await stage.startRelay();
    const client = await stage.client();
    for (let i = 1; i <= 12; i++) {
      await sleep(random.between(120, 260));
      await client.query('begin');
      await stage.write(1, { by: client });
      await sleep(random.chance(0.5) ? random.between(0, 220) : 0);
      await client.query('commit');
      const late = await promptly(stage, relay);
      if (late.length > 0) return late;
    }
    return [];
  },
};

async function untilFlagIsUp({ pool }: Stage): Promise<boolean> {
  return until(async () => {
    const { rows } = await pool.query(
      `select coalesce(pg_sequence_last_value('postcommit.parked_until'), 0) > 0 as up`,
    );
    return rows[0].up;
  }, 8_000);
}

/** Everything that is committed is stored without waiting for the sweep. */
async function promptly(stage: Stage, relay: DirectedRelay): Promise<string[]> {
  const { rows } = await stage.pool.query('select count(*)::int as committed from postcommit.outbox');
  const stored = await stage.untilSequence(rows[0].committed, STORED_WITHIN_MS);
  if (!stored) {
    return [
      `liveness: an event that was committed beside parking was not stored ${STORED_WITHIN_MS} ms later`,
    ];
  }
  const found = await relay.count('sweepFoundEvents');
  return found > 0 ? [`liveness: only the sweep found ${found} events`] : [];
}

export const parking = createDirectedScene({
  name: 'parking',
  about: 'commits at the moments around parking: nothing may wait for the sweep',
  acts: [silentHolder, lateCommit, lostListener, aroundParking],
});
