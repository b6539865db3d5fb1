import { planIfLeading } from '../../../src/batch-log/plan.ts';
import { lastBatch } from '../../../src/batch-log/recover.ts';
import { sleep } from '../../../src/lifecycle/abort.ts';
import { rotateIfLeading } from '../../../src/outbox/segments.ts';
import { openSession } from '../../../src/postgres/session.ts';
import { startPgBouncer } from '../../support/pgbouncer.ts';
import { query } from '../../support/query.ts';
import { createChronicle } from '../chronicle.ts';
import { type Act, createDirectedScene } from '../directed/act.ts';
import { happens, until } from '../directed/waiting.ts';
import { openRelayPlace } from '../system/relays.ts';

/** Behind a pooler nobody can end a former leader's sessions: its plan arrives after the takeover. */
const latePlan: Act = {
  name: 'a plan that arrives after the takeover',
  async play(stage, random) {
    await using pooler = await startPgBouncer({ port: Number(new URL(stage.databaseUrl).port) });
    const servers = { databaseUrl: pooler.urlOf(stage.databaseUrl), natsUrl: stage.nats.url };
    await using first = await openRelayPlace('zombie', servers, {
      options: {
        lane: { stream: stage.stream, subjects: [`${stage.stream}.>`] },
        leaseTtlMs: 2_000,
        retentionMs: 600_000,
        segmentBytes: 64 * 1024 * 1024,
        blockMs: 0,
        graceMs: 5_000,
      },
      chronicle: createChronicle(),
    });
    first.start();
    if (!(await until(() => first.leads, 10_000))) return ['liveness: nobody leads'];
    const frozen = Promise.withResolvers<void>();
    const thaw = Promise.withResolvers<void>();
    const plan = { server: 'postgres', mark: 'insert into postcommit.batches', when: 'sent' } as const;
    first.lookouts.postgres.await(plan, async () => {
      first.signal('SIGSTOP');
      frozen.resolve();
      await thaw.promise;
    });
    await stage.write(random.between(1, 5));
    if (!(await happens(frozen.promise, 8_000))) return ['liveness: nothing was planned'];
    const second = await stage.startRelay();
    if (!(await second.untilLane('publishing', 12_000))) return ['liveness: nobody took over'];
    const stored = await stage.untilSequence(1);
    thaw.resolve();
    // Its plan runs while it is frozen; what it makes of the answer comes later.
    await sleep(300);
    first.signal('SIGCONT');
    await stage.write(2);
    return stored ? await stage.violations() : ['liveness: the successor stored nothing'];
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
