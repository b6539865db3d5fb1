import { sleep } from '../../../src/lifecycle/abort.ts';
import { type Act, createDirectedScene } from '../directed/act.ts';
import { happens, until } from '../directed/waiting.ts';

/** Planned is not stored: the broker answers nobody for longer than the retention. */
const unstoredLeaf: Act = {
  name: 'a segment that is planned and not stored',
  async play(stage, random) {
    const relay = await stage.startRelay({ retentionMs: 1_000 });
    await relay.untilLane('publishing');
    const sending = relay.wires.nats.hold('HPUB ');
    const events = random.between(1, 5);
    await stage.write(events);
    if (!(await happens(sending.reached, 5_000))) return ['liveness: nothing was published'];
    relay.nats.refuse(); // Or it would come back on another connection.
    const isTold = () =>
      relay.lines.some(({ event }) => event === 'segment-unsettled' || event === 'segment-emptied');
    if (!(await until(isTold, 25_000))) return ['harness: no segment came of age'];
    await relay.kill();
    await stage.startRelay();
    const stored = await stage.untilSequence(events, 8_000);
    return stored ? [] : ['G1 loss: events were emptied out of the outbox and never stored'];
  },
};

/** Whoever takes over knows what was planned from the log alone. */
const unstoredRows: Act = {
  name: 'rows of the log whose events are not stored',
  async play(stage, random) {
    const relay = await stage.startRelay({ retentionMs: 600_000 });
    await relay.untilLane('publishing');
    const sending = relay.wires.nats.hold('HPUB ');
    for (let row = 1; row <= 3; row++) {
      await stage.write(random.between(1, 3));
      if (row === 1) await happens(sending.reached, 2_000);
      relay.nats.refuse(); // Or it would come back on another connection.
      await until(async () => (await stage.log()).length >= row, 3_000);
    }
    if (!(await happens(sending.reached, 1_000))) return ['liveness: nothing was published'];
    await until(async () => (await stage.log()).length < 3, 8_000);
    await relay.kill();
    await stage.startRelay();
    await sleep(300);
    return stage.violations();
  },
};

export const segments = createDirectedScene({
  name: 'segments',
  about:
    'a broker that is away for longer than the retention: nothing is emptied or pruned that is not stored',
  acts: [unstoredRows, unstoredLeaf],
});
