import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import type { RelayProcess } from '../support/relay-process.ts';
import { startNats } from '../support/services.ts';
import { openStage, type Stage } from './stage.ts';

/** Above what was promised, on a machine that runs other tests too. */
const SLACK_MS = 2_000;

let nats: EmbeddedNats;

beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

test('a clean stop under load settles all that was planned, and the next start publishes nothing again', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  const publishes = await stage.countPublishes();
  await using writers = stage.startWriters();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGTERM'] as const) {
    await using relay = await stage.startRelayProcess();
    await relay.line('ready');
    await stage.untilPublishing({ events: 3_000, share: 0.2 });
    relay.kill(signal);
    expect(await relay.exit).toBe(0);
    expect(relay.stderr).toBe('');
    expect((await stage.log()).at(-1)?.lastSequence).toBe(await stage.lastSequence());
  }
  await writers.stop();
  await using relay = await stage.startRelayProcess();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect(await publishes()).toBe(await stage.lastSequence());
  expect(await relay.metric('postcommit_duplicate_acks_total')).toBe(0);
  expect(await relay.metric('postcommit_publish_failures_total')).toBe(0);
});

test('parked, a stop is quick and leaves writers no reason to notify', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelayProcess();
  await relay.line('ready');
  const flag = async () =>
    (await stage.pool.query('select last_value::int from postcommit.parked_until')).rows[0].last_value;
  await expect.poll(flag, { timeout: 10_000 }).toBeGreaterThan(0);
  expect(await stopping(relay, 'SIGTERM')).toMatchObject({ exit: 0, quick: true });
  expect(await flag()).toBe(0);
});

test('standing by, a stop is quick and does not disturb the leader', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using leader = await stage.startRelayProcess();
  await leader.line('ready');
  await using standby = await stage.startRelayProcess();
  await standby.line('ready');
  expect(await stopping(standby, 'SIGTERM')).toMatchObject({ exit: 0, quick: true });
  await stage.write(10);
  await stage.untilDrained();
  expect((await stage.log()).at(-1)?.epoch).toBe(1);
});

test('with NATS down, a stop does not wait for it', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelayProcess({ grace: '1s' });
  await relay.line('ready');
  nats.kill('SIGKILL');
  try {
    await relay.line('nats-disconnected');
    await stage.write(10);
    await relay.line('lane-paused');
    expect(await stopping(relay, 'SIGTERM', 1_000)).toMatchObject({ exit: 0, quick: true });
  } finally {
    await nats.start();
  }
  await using next = await stage.startRelayProcess();
  await next.line('ready');
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});

test('with NATS frozen, a stop ends with its grace', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelayProcess({ grace: '1s' });
  await relay.line('ready');
  nats.kill('SIGSTOP');
  try {
    await planInto(stage, 10);
    expect(await stopping(relay, 'SIGTERM', 1_000)).toMatchObject({ exit: 0, quick: true });
  } finally {
    nats.kill('SIGCONT');
  }
  await using next = await stage.startRelayProcess();
  await next.line('ready');
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});

test.each([
  { first: 'SIGTERM', second: 'SIGTERM', code: 143 },
  { first: 'SIGTERM', second: 'SIGINT', code: 130 },
] as const)('a second signal ends it at once ($first, $second)', async ({ first, second, code }) => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelayProcess({ grace: '60s' });
  await relay.line('ready');
  nats.kill('SIGSTOP');
  try {
    await planInto(stage, 10);
    relay.kill(first);
    await relay.line('stopping');
    expect(await stopping(relay, second)).toMatchObject({ exit: code, quick: true });
  } finally {
    nats.kill('SIGCONT');
  }
  await using next = await stage.startRelayProcess();
  await next.line('ready');
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});

/** Commits events and waits until they are planned: a frozen NATS still has to confirm them. */
async function planInto(stage: Stage, events: number): Promise<void> {
  await stage.write(events);
  await expect
    .poll(async () => (await stage.log()).at(-1)?.positions.length, { timeout: 10_000 })
    .toBe(events);
}

async function stopping(relay: RelayProcess, signal: NodeJS.Signals, graceMs = 0) {
  const startedAtMs = performance.now();
  relay.kill(signal);
  const exit = await relay.exit;
  const tookMs = performance.now() - startedAtMs;
  return { exit, tookMs, quick: tookMs < graceMs + SLACK_MS, stderr: relay.stderr };
}
