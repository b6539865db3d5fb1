import { type Act, createDirectedScene } from '../directed/act.ts';
import type { DirectedRelay, DirectedRelayOptions } from '../directed/relay.ts';
import type { Stage } from '../directed/stage.ts';
import { happens, until } from '../directed/waiting.ts';

const NOTHING_STORED = ['liveness: nothing was stored'];

/** An older store is put back under a relay that goes on. */
const underWay: Act = {
  name: 'a tail that is lost under a running relay, in stream ordering',
  async play(stage, random) {
    const kept = random.between(5, 40);
    const relay = await startAndKeep(stage, kept);
    if (relay === undefined) return NOTHING_STORED;
    let end = kept;
    for (let row = 0; row < random.between(1, 4); row++) {
      const more = random.between(1, 30);
      end += more;
      if (!(await writeUntilStored(stage, more, end))) return NOTHING_STORED;
    }
    await stage.nats.restoreStore();
    if (!(await stage.untilSequence(end))) return ['G10 healing: what the stream lost did not come back'];
    return isHealed(stage, relay, end);
  },
};

/** Between two relays somebody else fills the places of what was lost. */
const refilled: Act = {
  name: 'a lost tail whose places a stranger takes, in stream ordering',
  async play(stage, random) {
    const kept = random.between(5, 40);
    const relay = await startAndKeep(stage, kept);
    if (relay === undefined) return NOTHING_STORED;
    const lost = random.between(2, 5);
    // Each in a row of its own: the newest says of all others that they are settled.
    for (let i = 1; i <= lost; i++) if (!(await writeUntilStored(stage, 1, kept + i))) return NOTHING_STORED;
    await relay.kill();
    await stage.nats.restoreStore();
    await stage.untilSequence(kept);
    for (let i = 0; i < lost; i++) await stage.publishForeign();
    const next = await stage.startRelay();
    await next.untilLane('publishing');
    await stage.write(random.between(1, 5));
    return stage.violations();
  },
};

/** Others' messages are among the lost: what comes back lies lower than before, where no plan said that it may. */
const lowerThanPlanned: Act = {
  name: 'a lost tail that comes back lower, in key ordering',
  async play(stage, random) {
    const lane = { ordering: 'key' } as const;
    const kept = random.between(5, 40);
    const relay = await startAndKeep(stage, kept, { lane });
    if (relay === undefined) return NOTHING_STORED;
    const foreign = random.between(20, 60);
    for (let i = 0; i < foreign; i++) await stage.publishForeign();
    const events = random.between(10, 60);
    // By the first one's answer the relay learns of the stranger.
    if (!(await writeUntilStored(stage, 1, kept + foreign + 1))) return NOTHING_STORED;
    if (!(await writeUntilStored(stage, events, kept + foreign + 1 + events))) return NOTHING_STORED;
    await stage.nats.restoreStore();
    const end = kept + 1 + events;
    if (!(await stage.untilSequence(end))) return ['G10 healing: what the stream lost did not come back'];
    await relay.kill();
    await stage.startRelay({ lane });
    await stage.write(1);
    await stage.untilSequence(end + 1);
    return stage.violations();
  },
};

/** What is missing is known, and not yet sent again, when a stranger hides that the stream was shorter. */
const forgotten: Act = {
  name: 'a lost tail that is looked for twice, in key ordering',
  async play(stage, random) {
    const kept = random.between(5, 40);
    const relay = await startAndKeep(stage, kept, { lane: { ordering: 'key' } });
    if (relay === undefined) return NOTHING_STORED;
    if (!(await writeUntilStored(stage, 1, kept + 1))) return NOTHING_STORED;
    // An empty row says that all is settled.
    const rests = async () => (await stage.log()).at(-1)?.positions.length === 0;
    if (!(await until(rests, 15_000))) return ['liveness: a lane at rest has not said so'];
    const sending = relay.wires.nats.hold('HPUB ');
    await stage.nats.restoreStore();
    if (!(await happens(sending.reached, 10_000)))
      return ['G10 healing: what the stream lost was not sent again'];
    await stage.publishForeign();
    relay.nats.cut();
    sending.release();
    await stage.untilSequence(kept + 2);
    return stage.violations();
  },
};

/** A relay at work on a stream with so many messages, which are kept; undefined if they were not stored. */
async function startAndKeep(
  stage: Stage,
  events: number,
  options?: DirectedRelayOptions,
): Promise<DirectedRelay | undefined> {
  const relay = await stage.startRelay(options);
  if (!(await writeUntilStored(stage, events, events))) return undefined;
  await stage.nats.keepStore();
  await stage.untilSequence(events); // The stage's own connection is back.
  await relay.untilLane('publishing');
  return relay;
}

async function writeUntilStored(stage: Stage, count: number, end: number): Promise<boolean> {
  await stage.write(count);
  return stage.untilSequence(end);
}

async function isHealed(stage: Stage, relay: DirectedRelay, end: number): Promise<readonly string[]> {
  await stage.write(1);
  await stage.untilSequence(end + 1);
  const violations = await stage.violations();
  const healed = await relay.count('healedEvents');
  return healed > 0 ? violations : [...violations, 'G10 healing: nothing was counted as healed'];
}

export const lostTail = createDirectedScene({
  name: 'lost-tail',
  about: 'streams that are put back to an older state, under a relay and between two',
  acts: [underWay, refilled, lowerThanPlanned, forgotten],
});
