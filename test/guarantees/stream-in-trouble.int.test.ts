import type { StreamConfig } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { letterStates } from '../support/dead-letters.ts';
import { startReloadableNats, USERS, urlAs } from '../support/reloadable-nats.ts';
import { openStage, type RunningRelay, type Stage } from './stage.ts';

/** A paused lane is watched for so long: it may write a line a second. */
const WATCH_MS = 2_000;
/** Lines carry the time of another clock, in whole milliseconds. */
const CLOCK_GRAIN_MS = 10;

// nats-server 2.9 checks max_bytes without what a record costs beside the message, and when the sum is over after all it
// drops its oldest messages, `discard: new` notwithstanding: a few more events fit, and the server loses as many.
test.each<{ limit: string; full: Partial<StreamConfig>; raised: Partial<StreamConfig>; slack: number }>([
  { limit: 'max_msgs', full: { max_msgs: 500 }, raised: { max_msgs: -1 }, slack: 0 },
  { limit: 'max_bytes', full: { max_bytes: 100_000 }, raised: { max_bytes: -1 }, slack: 4 },
])('a stream full by $limit pauses the relay until there is room', async ({ full, raised, slack }) => {
  await using stage = await openStage({ config: { discard: 'new' as StreamConfig['discard'], ...full } });
  await using relay = await stage.startRelay();
  await using writers = stage.startWriters({ count: 2 });
  await stage.write(1_500);
  expect(await relay.until('paused')).toMatch(/maximum (messages|bytes) exceeded/);
  const filled = await untilFull(stage);
  expect(filled).toBeGreaterThan(100);
  await watch(relay, slack);
  expect((await stage.lastSequence()) - filled).toBeLessThanOrEqual(slack);
  expect(relay.relay.status().role).toBe('leader');
  await stage.jsm.streams.update(stage.stream, raised);
  await relay.until('publishing');
  await writers.stop();
  await stage.untilDrained();
  const { state } = await stage.jsm.streams.info(stage.stream);
  const dropped = Array.from({ length: state.first_seq - 1 }, (_, i) => `lost: ${i + 1}`);
  expect(dropped.length).toBeLessThanOrEqual(slack);
  expect(await stage.faults()).toEqual(dropped);
  expect(writers.failures).toEqual([]);
});

test('a stream that stops covering the subjects pauses the relay until it does again', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay();
  await stage.write(3);
  await stage.untilDrained();
  await stage.jsm.streams.update(stage.stream, { subjects: [`${stage.stream}.other`] });
  await stage.write(3);
  expect(await relay.until('paused')).toMatch(/none covers its subject|captures/);
  await watch(relay);
  await stage.jsm.streams.update(stage.stream, { subjects: [`${stage.stream}.>`] });
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});

test.each<{ trouble: string; broken: Partial<StreamConfig>; mended: Partial<StreamConfig> }>([
  { trouble: 'confirms nothing any more', broken: { no_ack: true }, mended: { no_ack: false } },
  {
    trouble: 'takes no more of a subject',
    broken: { max_msgs_per_subject: 3, discard_new_per_subject: true, discard: 'new' as never },
    mended: { max_msgs_per_subject: -1, discard_new_per_subject: false },
  },
])('a stream that $trouble pauses the lane and makes no dead letter', async ({ broken, mended }) => {
  await using stage = await openStage();
  await using relay = await stage.startRelay();
  await stage.write(3);
  await stage.untilDrained();
  await stage.jsm.streams.update(stage.stream, broken);
  await stage.write(3);
  await relay.until('paused', 15_000);
  await watch(relay);
  expect(await letterStates(stage.pool)).toEqual([]);
  await stage.jsm.streams.update(stage.stream, mended);
  await stage.untilDrained(20_000);
  expect(await stage.faults()).toEqual([]);
  expect(await letterStates(stage.pool)).toEqual([]);
});

test('a stream that is sealed pauses the lane, which says so, and makes no dead letter', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay();
  await stage.write(3);
  await stage.untilDrained();
  await stage.jsm.streams.update(stage.stream, { sealed: true } as Partial<StreamConfig>);
  await stage.write(3);
  await expect.poll(() => relay.relay.status().lanes[0]?.reason, { timeout: 15_000 }).toContain('is sealed');
  await watch(relay);
  expect(await letterStates(stage.pool)).toEqual([]);
});

test('a permission to publish that is revoked pauses the lane until it is back, and makes no dead letter', async () => {
  await using nats = await startReloadableNats('2.9.10');
  await using stage = await openStage({ natsUrl: urlAs(nats, 'admin') });
  await using relay = await stage.startRelay({ nats: () => ({ servers: [urlAs(nats, 'app')] }) });
  await stage.write(3);
  await stage.untilDrained();
  await nats.reload(USERS.mute(stage.stream));
  await stage.write(3);
  expect(await relay.until('paused', 15_000)).toMatch(/Permissions Violation/);
  await watch(relay);
  expect(await letterStates(stage.pool)).toEqual([]);
  await nats.reload(USERS.all);
  await stage.untilDrained(20_000);
  expect(await stage.faults()).toEqual([]);
});

/** An event is a little smaller when it is sent again, without its message id: one more may fit then. */
async function untilFull(stage: Stage): Promise<number> {
  let [before, last] = [-1, await stage.lastSequence()];
  await expect
    .poll(
      async () => {
        [before, last] = [last, await stage.lastSequence()];
        return last === before;
      },
      { timeout: 10_000, interval: 1_000 },
    )
    .toBe(true);
  return last;
}

/**
 * For a while a paused relay stays the leader, says so at most about once a second, and does not claim to go on, but
 * for `slack` events that the stream takes all the same.
 */
async function watch({ relay, lines }: RunningRelay, slack = 0): Promise<void> {
  const before = lines.length;
  const seen = new Set<string | undefined>();
  const endMs = performance.now() + WATCH_MS;
  await expect
    .poll(
      () => {
        seen.add(relay.status().lanes[0]?.state);
        return performance.now() > endMs;
      },
      { timeout: 2 * WATCH_MS, interval: 5 },
    )
    .toBe(true);
  expect(relay.status().role).toBe('leader');
  const written = lines.slice(before);
  const resumed = written.filter(({ event }) => event === 'lane-resumed');
  expect(resumed.length).toBeLessThanOrEqual(slack);
  const times = written
    .filter(({ event }) => event !== 'lane-resumed')
    .map(({ time }) => Date.parse(String(time)));
  for (const [i, time] of times.slice(1).entries())
    expect(time - (times[i] ?? 0)).toBeGreaterThanOrEqual(1_000 - CLOCK_GRAIN_MS);
}
