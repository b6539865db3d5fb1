import { nanos } from '@nats-io/transport-node';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import { sleep } from '../../src/lifecycle/abort.ts';
import { startTcpProxy } from '../../src/testing/index.ts';
import { startNats } from '../support/services.ts';
import { openStage } from './stage.ts';

/** As short as servers allow, and over before anything is sent again: message ids protect nothing, slots and log do. */
const WINDOW_MS = 100;
const PAST_WINDOW_MS = 5 * WINDOW_MS;
const BULK = 1_500;

let nats: EmbeddedNats;
beforeAll(async () => {
  nats = await startNats();
});
beforeEach(() => nats.start());
afterAll(() => nats?.[Symbol.asyncDispose]());

const openShortStage = () => openStage({ natsUrl: nats.url, config: { duplicate_window: nanos(WINDOW_MS) } });

test('G3: relays killed and NATS cut off in mid-publish, each for longer than the duplicate window: every event once', async () => {
  await using stage = await openShortStage();
  let cutOff = 0;
  const countCutOff = async () => {
    const { rows } = await stage.pool.query(
      'select max(last_sequence)::int as planned from postcommit.batches',
    );
    if (rows[0].planned > (await stage.lastSequence())) cutOff++;
  };
  // On a slow line a kill hits what is under way, however long this process sleeps between two looks.
  await using proxy = await startTcpProxy({ port: nats.port });
  for (const share of [0.1, 0.5]) {
    await using relay = await stage.startRelayProcess({ natsPort: proxy.port });
    await relay.line('ready');
    proxy.throttle(200_000, { direction: 'up' });
    await stage.untilPublishing({ events: BULK, share });
    relay.kill('SIGKILL');
    await relay.exit;
    proxy.cut();
    proxy.heal();
    await countCutOff();
    await sleep(PAST_WINDOW_MS); // The window.
  }
  await using relay = await stage.startRelay({ nats: () => ({ servers: [proxy.through(nats.url)] }) });
  await relay.until('publishing');
  proxy.throttle(200_000, { direction: 'up' });
  await stage.untilPublishing({ events: BULK, share: 0.3 });
  nats.kill('SIGKILL');
  await relay.until('paused');
  await sleep(PAST_WINDOW_MS); // The window.
  proxy.heal();
  await nats.start();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect(await stage.lastSequence()).toBe(3 * BULK);
  expect(cutOff, 'kills that hit a plan that was under way').toBe(2);
});

test('G3: a relay that was frozen in mid-publish wakes up behind its successor and stores nothing', async () => {
  await using stage = await openShortStage();
  const leaseTtlMs = 1_200;
  await using frozen = await stage.startRelayProcess({ leaseTtlMs });
  await frozen.line('role', ({ role }) => role === 'leader');
  await stage.untilPublishing({ events: BULK, share: 0.2 });
  frozen.kill('SIGSTOP');
  await using successor = await stage.startRelayProcess({ leaseTtlMs });
  await successor.line('role', ({ role }) => role === 'leader');
  await stage.untilDrained();
  const end = await stage.lastSequence();
  const publishes = await stage.countPublishes();
  frozen.kill('SIGCONT');
  await frozen.line('role', ({ role }) => role === 'standby');
  expect(await stage.lastSequence()).toBe(end);
  expect(await stage.faults()).toEqual([]);
  // What it had handed to its socket may still come; the stream takes none of it.
  expect(await publishes()).toBeLessThan(BULK);
});
