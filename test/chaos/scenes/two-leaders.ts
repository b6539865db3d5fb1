import { planIfLeading } from '../../../src/batch-log/plan.ts';
import { lastBatch } from '../../../src/batch-log/recover.ts';
import { rotateIfLeading } from '../../../src/outbox/segments.ts';
import { openSession } from '../../../src/postgres/session.ts';
import { startPgBouncer } from '../../support/pgbouncer.ts';
import { query } from '../../support/query.ts';
import { type Act, createDirectedScene } from '../directed/act.ts';
import { happens, until } from '../directed/waiting.ts';

/** Behind a pooler nobody can end a former leader's sessions: its plan arrives after the takeover. */
const latePlan: Act = {
  name: 'a plan that arrives after the takeover',
  async play(stage, random) {
    await using pooler = await startPgBouncer({ port: Number(new URL(stage.databaseUrl).port) });
    const first = await stage.startRelay({ database: pooler.urlOf(stage.databaseUrl) });
    await first.untilLane('publishing');
    const plan = first.wires.postgres.hold('insert into postcommit.batches');
    await stage.write(random.between(1, 5));
    if (!(await happens(plan.reached, 8_000))) return ['liveness: nothing was planned'];
    const frozen = first.wires.postgres.holdAll();
    const second = await stage.startRelay();
    if (!(await second.untilLane('publishing', 12_000))) return ['liveness: nobody took over'];
    await stage.write(3);
    const stored = await stage.untilSequence(4);
    plan.release();
    frozen.release();
    await happens(first.relay.stop({ graceMs: 0 }), 5_000);
    await stage.write(2);
    return stored ? stage.violations() : ['liveness: the successor stored nothing'];
  },
};

/** A plan that is written and not committed when the successor reads the log. */
const planInFlight: Act = {
  name: 'a plan in flight during the takeover',
  async play(stage) {
    const first = await stage.startRelay();
    await stage.write(3);
    await stage.untilSequence(3);
    const zombie = await openSession({ url: stage.databaseUrl, name: 'former leader' });
    try {
      const last = await lastBatch(zombie, stage.stream);
      if (last === undefined) return ['liveness: nothing was planned'];
      await zombie.query({ text: 'begin' });
      const [batch, next] = [last.batch + 1, last.lastSequence + 1];
      const row = {
        ...last,
        batch,
        firstSequence: next,
        lastSequence: next,
        positions: [4, 4],
        readTo: 4,
        openFrom: 5,
      };
      await planIfLeading(zombie, [row]);
      await first.kill();
      await stage.write(1);
      const second = await stage.startRelay();
      const waits = await until(async () => {
        const locks = `select from pg_locks where not granted and relation = 'postcommit.batches'::regclass`;
        return (await query(stage.databaseUrl, locks)).length > 0;
      }, 2_000);
      if (!waits) await stage.untilSequence(4, 3_000);
      await zombie.query({ text: 'commit' });
      await second.untilLane('publishing');
      await stage.write(2);
      return await stage.violations();
    } finally {
      await zombie.close();
    }
  },
};

/** `setval` knows no transaction: what an older epoch moves stays moved. */
const lateSwitch: Act = {
  name: 'a switch of segments by an older epoch',
  async play(stage, random) {
    const first = await stage.startRelay();
    await first.untilLane('publishing');
    await first.relay.stop();
    const second = await stage.startRelay();
    await second.untilLane('publishing');
    const zombie = await openSession({ url: stage.databaseUrl, name: 'former leader' });
    const to = random.between(1, 7);
    await rotateIfLeading(zombie, 1, to);
    await zombie.close();
    const { rows } = await stage.pool.query(
      `select pg_sequence_last_value('postcommit.segment')::int as segment`,
    );
    if (rows[0].segment === to) return [`fencing: epoch 1 moved inserts to segment ${to} after the takeover`];
    await stage.write(3);
    return stage.violations();
  },
};

export const twoLeaders = createDirectedScene({
  name: 'two-leaders',
  about: 'statements of a former leader that reach PostgreSQL after the takeover',
  acts: [planInFlight, lateSwitch, latePlan],
});
