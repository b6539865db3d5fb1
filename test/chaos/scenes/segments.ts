import type { StreamConfig } from '@nats-io/jetstream';
import { type Act, createDirectedScene } from '../directed/act.ts';
import type { Stage } from '../directed/stage.ts';
import { happens, until } from '../directed/waiting.ts';

/** One message, and no room for more until the limit is raised. */
const FULL: Partial<StreamConfig> = { max_msgs: 1, discard: 'new' as StreamConfig['discard'] };

/** Planned is not stored: a stream that is no lane any more has no room for longer than the retention. */
const unstoredLeaf: Act = {
  name: 'a segment that is planned and not stored',
  config: FULL,
  async play(stage, random) {
    const events = await planInVain(stage, random.between(2, 5));
    if (events === undefined) return ['liveness: nothing was planned'];
    const other = `${stage.stream}_other`;
    await stage.jsm.streams.add({ name: other, subjects: [`${other}.>`] });
    const relay = await stage.startRelay({
      retentionMs: 1_000,
      lanes: [{ stream: other, subjects: [`${other}.>`] }],
    });
    const isTold = () =>
      relay.lines.some(({ event }) => event === 'segment-unsettled' || event === 'segment-emptied');
    if (!(await until(isTold, 30_000))) return ['harness: no segment came of age'];
    await makeRoom(stage);
    const stored = await stage.untilSequence(events, 8_000);
    return stored ? [] : ['G1 loss: events were emptied out of the outbox and never stored'];
  },
};

/** Whoever takes over knows what was planned from the log alone. */
const unstoredRows: Act = {
  name: 'rows of the log whose events are not stored',
  config: FULL,
  async play(stage, random) {
    if ((await planInVain(stage, random.between(3, 5))) === undefined)
      return ['liveness: nothing was planned'];
    const { length } = await stage.log();
    const relay = await stage.startRelay({ retentionMs: 600_000 });
    await until(async () => (await stage.log()).length < length, 8_000);
    await relay.kill();
    await makeRoom(stage);
    await stage.startRelay();
    return stage.violations();
  },
};

/** Plans so many rows of the log that find no room, and leaves. Returns where the stream is to end, if it came about. */
async function planInVain(stage: Stage, rows: number): Promise<number | undefined> {
  const relay = await stage.startRelay();
  await stage.write(1);
  await stage.untilSequence(1);
  const sending = relay.wires.nats.hold('HPUB ');
  const before = (await stage.log()).length;
  for (let row = 1; row <= rows; row++) {
    await stage.write(1);
    if (!(await until(async () => (await stage.log()).length >= before + row, 3_000))) return undefined;
  }
  if (!(await happens(sending.reached, 1_000))) return undefined;
  await relay.kill();
  return 1 + rows;
}

async function makeRoom({ jsm, stream }: Stage): Promise<void> {
  await jsm.streams.update(stream, { max_msgs: -1 });
}

export const segments = createDirectedScene({
  name: 'segments',
  about:
    'a stream without room for longer than the retention: nothing is emptied or pruned that is not stored',
  acts: [unstoredRows, unstoredLeaf],
});
