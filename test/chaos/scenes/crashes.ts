import { startNats, startPostgres } from '../../../src/embedded/index.ts';
import { sleep } from '../../../src/lifecycle/abort.ts';
import { startNatsWithStore } from '../../support/nats-with-store.ts';
import { type Act, createDirectedScene } from '../directed/act.ts';
import { openStage, type Stage } from '../directed/stage.ts';
import { letStrangerBeFirst } from '../directed/stranger.ts';
import { happens, until } from '../directed/waiting.ts';
import type { Scene } from '../scene.ts';

/** L1: what is sent before its row is committed is sent by nobody's plan. */
const unplanned: Act = {
  name: 'a plan that does not come through',
  async play(stage, random) {
    const relay = await stage.startRelay();
    await relay.untilLane('publishing');
    const plan = relay.wires.postgres.hold('postcommit_plan');
    await stage.write(random.between(1, 20));
    if (!(await happens(plan.reached, 5_000))) return ['liveness: nothing was planned'];
    const early = await stage.untilSequence(1, 500);
    plan.release();
    return early ? ['G2 write-ahead: an event was stored before its plan was committed'] : stage.violations();
  },
};

/** The stream's last sequence alone would hide it. */
const strangerInTheSlot: Act = {
  name: 'a stranger takes a slot and the relay dies',
  async play(stage, random) {
    const displaced = await letStrangerBeFirst(stage, random);
    if (displaced === undefined) return ['liveness: nothing was published'];
    await displaced.relay.kill();
    await stage.startRelay();
    return stage.violations();
  },
};

/** A gap below it makes the next start read there again. */
const parkedBehindAGap: Act = {
  name: 'a dead letter above an open gap',
  config: { max_msg_size: 3_000 },
  async play(stage) {
    const relay = await stage.startRelay();
    await relay.untilLane('publishing');
    const open = await stage.client();
    await open.query('begin');
    await stage.write(1, { by: open });
    await stage.write(1, { bytes: 5_000 });
    if (!(await untilDead(stage, 1))) return ['liveness: an event that is too large was not set aside'];
    await stage.write(1);
    await stage.untilSequence(1);
    await relay.kill();
    await stage.jsm.streams.update(stage.stream, { max_msg_size: -1 });
    await stage.startRelay();
    await sleep(500);
    await open.query('commit');
    await stage.untilSequence(2);
    const { rows } = await stage.pool.query(`select state from postcommit.dead_letters`);
    if (rows[0]?.state !== 'parked')
      return [`dead letters: one that nobody retried is ${rows[0]?.state} behind a new start`];
    return stage.violations();
  },
};

/** The broker refuses what has a slot already: limits were lowered a moment ago. */
const refusedInItsSlot: Act = {
  name: 'an event that is refused in its slot',
  async play(stage, random) {
    const relay = await stage.startRelay();
    await stage.write(1);
    await stage.untilSequence(1);
    await stage.jsm.streams.update(stage.stream, { max_msg_size: 3_000 });
    const client = await stage.client();
    await client.query('begin');
    await stage.write(random.between(1, 5), { by: client });
    await stage.write(1, { by: client, bytes: 5_000 });
    await stage.write(5, { by: client });
    await client.query('commit');
    await until(() => relay.relay.status().lanes[0]?.pending === 0, 5_000);
    await untilDead(stage, 1);
    return stage.violations();
  },
};

function untilDead({ pool }: Stage, letters: number): Promise<boolean> {
  return until(async () => {
    const { rows } = await pool.query('select count(*)::int as dead from postcommit.dead_letters');
    return rows[0].dead >= letters;
  }, 8_000);
}

export const crashes = createDirectedScene({
  name: 'crashes',
  about: 'relays that die between a plan and its messages, and events that are refused there',
  acts: [unplanned, strangerInTheSlot, parkedBehindAGap, refusedInItsSlot],
});

/** G2: nothing but the relay's own commits flushes what these writers wrote. */
export const flush: Scene = {
  name: 'flush',
  about: 'commits that a crash can take back, and crashes just behind them',
  async play({ random }) {
    await using postgres = await startPostgres({ settings: { wal_writer_delay: '10s' } });
    await using nats = await startNatsWithStore(startNats);
    await using stage = await openStage({ postgresUrl: postgres.url, nats, name: 'flush' });
    const relay = await stage.startRelay({ leaseTtlMs: 10_000 });
    await relay.untilLane('publishing');
    const draw = random.fork('flush');
    for (let round = 1; round <= 3; round++) {
      const before = await stage.lastSequence();
      const writer = await stage.client();
      await writer.query('set synchronous_commit = off');
      await stage.write(draw.between(1, 5), { by: writer });
      const stored = await stage.untilSequence(before + 1, 15_000);
      await postgres.stop('immediate');
      await postgres.start();
      if (!stored) return { violations: ['liveness: nothing was stored'], facts: { round } };
      const violations = await stage.violations();
      if (violations.length > 0) return { violations, facts: { round } };
    }
    return { violations: [], facts: { rounds: 3 } };
  },
};
