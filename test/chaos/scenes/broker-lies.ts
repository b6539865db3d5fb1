import { randomUUID } from 'node:crypto';
import { sleep } from '../../../src/lifecycle/abort.ts';
import { type Act, createDirectedScene } from '../directed/act.ts';
import type { Stage } from '../directed/stage.ts';
import { letStrangerBeFirst } from '../directed/stranger.ts';
import { happens, until } from '../directed/waiting.ts';

/** A writer's own retry: legal, and answered by `duplicate` although the second one is stored nowhere. */
function repeatedId(ordering: 'stream' | 'key'): Act {
  return {
    name: `an event id that comes twice, in ${ordering} ordering`,
    async play(stage) {
      await stage.startRelay({ lane: { ordering } });
      const id = randomUUID();
      for (let i = 0; i < 2; i++) await insert(stage, { id, headers: {} });
      await stage.write(3);
      return stage.violations();
    },
  };
}

/** A dead relay's message is still under way when its successor looks into the stream. */
function latePacket(ordering: 'stream' | 'key'): Act {
  return {
    name: `a message that arrives after the takeover, in ${ordering} ordering`,
    async play(stage) {
      const first = await stage.startRelay({ lane: { ordering } });
      await first.untilLane('publishing');
      const late = first.wires.nats.hold('HPUB ');
      await stage.write(3);
      if (!(await happens(late.reached, 5_000))) return ['liveness: nothing was published'];
      await happens(first.relay.stop({ graceMs: 0 }), 8_000);
      await stage.startRelay({ lane: { ordering } });
      const stored = await stage.untilSequence(3);
      late.release();
      await sleep(300);
      return stored ? stage.violations() : ['liveness: the successor stored nothing'];
    },
  };
}

/** What was stored before, and never acknowledged, is not protected by its id any more. */
const beyondTheWindow: Act = {
  name: 'an outage longer than the duplicate window',
  config: { duplicate_window: 500_000_000 },
  async play(stage, random) {
    const relay = await stage.startRelay({ lane: { ordering: 'key' } });
    await relay.untilLane('publishing');
    const answers = relay.wires.nats.holdAnswer('HPUB ');
    await stage.write(random.between(1, 5));
    if (!(await happens(answers.reached, 5_000))) return ['liveness: nothing was published'];
    relay.nats.refuse();
    relay.nats.cut();
    answers.release();
    await sleep(1_500);
    await relay.nats.accept();
    await until(() => relay.relay.status().lanes[0]?.pending === 0, 8_000);
    return stage.violations();
  },
};

/**
 * A successor has looked, found nothing, and probes with the first event. While it waits for that answer, what its predecessor
 * had sent arrives, and the window in which the broker would know it again goes by.
 */
const lateBeyondTheWindow: Act = {
  name: 'messages that arrive behind the look, and a probe that takes longer than the window',
  config: { duplicate_window: 500_000_000 },
  async play(stage, random) {
    const lane = { ordering: 'key' } as const;
    const first = await stage.startRelay({ lane });
    await first.untilLane('publishing');
    const late = first.wires.nats.hold('HPUB ');
    const count = random.between(3, 30);
    await stage.write(count);
    if (!(await happens(late.reached, 5_000))) return ['liveness: nothing was published'];
    await happens(first.relay.stop({ graceMs: 0 }), 8_000);
    const successor = await stage.startRelay({ lane });
    const probe = successor.wires.nats.holdAnswer('HPUB ');
    const probed = await happens(probe.reached, 8_000);
    late.release();
    const arrived = await stage.untilSequence(count);
    await sleep(1_000); // Twice the window.
    probe.release();
    if (!probed || !arrived) return ['liveness: the successor did not probe, or what was late never came'];
    await until(() => successor.relay.status().lanes[0]?.pending === 0, 8_000);
    return stage.violations();
  },
};

const strangerInFlight: Act = {
  name: 'a stranger in the midst of publishing',
  async play(stage, random) {
    const displaced = await letStrangerBeFirst(stage, random);
    if (displaced === undefined) return ['liveness: nothing was published'];
    displaced.release();
    await until(() => displaced.relay.relay.status().lanes[0]?.pending === 0, 8_000);
    return stage.violations();
  },
};

const fullStream: Act = {
  name: 'a stream that is full',
  config: { max_msgs: 3, discard: 'new' as never },
  async play(stage) {
    const relay = await stage.startRelay();
    await stage.write(10);
    const paused = await relay.untilLane('paused');
    const { rows } = await stage.pool.query('select count(*)::int as dead from postcommit.dead_letters');
    if (rows[0].dead > 0) return [`G7 poison: a full stream made ${rows[0].dead} dead letters`];
    if (!paused) return ['liveness: a full stream was not noticed'];
    await stage.jsm.streams.update(stage.stream, { max_msgs: -1 });
    return stage.violations(12_000);
  },
};

/** Refusals trickle in while those before them are being written down. */
const manyGraves: Act = {
  name: 'refusals while others are written down, in key ordering',
  async play(stage, random) {
    const relay = await stage.startRelay({ lane: { ordering: 'key', deadLetters: 'hold' } });
    await stage.write(1);
    await stage.untilSequence(1);
    await stage.jsm.streams.update(stage.stream, { max_msg_size: 3_000 });
    relay.nats.throttle(8_000, { direction: 'down' });
    relay.postgres.delay(20);
    const client = await stage.client();
    await client.query('begin');
    for (let i = 0; i < random.between(40, 60); i++)
      await stage.write(1, { by: client, key: `patient ${i}`, bytes: 5_000 });
    await client.query('commit');
    await until(() => relay.relay.status().lanes[0]?.pending === 0, 10_000);
    return stage.violations(3_000);
  },
};

const steeringHeader: Act = {
  name: 'a header that steers the server',
  config: { allow_rollup_hdrs: true },
  async play(stage) {
    await stage.startRelay();
    await stage.write(3);
    await stage.untilSequence(3);
    const accepted = await insert(stage, { id: randomUUID(), headers: { 'Nats-Rollup': 'all' } }).then(
      () => true,
      (refusal: { constraint?: string }) => {
        if (refusal.constraint === 'outbox_headers') return false;
        throw refusal;
      },
    );
    if (accepted) await stage.untilSequence(4);
    return stage.violations(accepted ? 1_000 : 8_000);
  },
};

async function insert({ pool, subject }: Stage, { id, headers }: { id: string; headers: object }) {
  await pool.query(
    `insert into postcommit.outbox (event_id, subject, payload, headers) values ($1, $2, 'once more', $3)`,
    [id, subject, headers],
  );
}

export const brokerLies = createDirectedScene({
  name: 'broker-lies',
  about: 'answers that prove nothing, messages that come late, strangers, limits and headers',
  acts: [
    repeatedId('stream'),
    repeatedId('key'),
    latePacket('key'),
    latePacket('stream'),
    beyondTheWindow,
    lateBeyondTheWindow,
    strangerInFlight,
    fullStream,
    manyGraves,
    steeringHeader,
  ],
});
