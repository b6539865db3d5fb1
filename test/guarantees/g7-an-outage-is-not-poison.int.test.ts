import { afterAll, beforeAll, expect, test } from 'vitest';
import { readiness } from '../../src/daemon/health.ts';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import { sleep } from '../../src/lifecycle/abort.ts';
import { startNats } from '../support/services.ts';
import { openStage } from './stage.ts';

let nats: EmbeddedNats;

beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

test('NATS crashing and restarting under load costs nothing', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await using writers = stage.startWriters();
  await relay.until('publishing');
  for (const crash of [true, false, true]) {
    await stage.untilPublishing({ events: 2_000, share: 0.2 });
    if (crash) nats.kill('SIGKILL');
    else await nats.stop();
    await nats.start();
  }
  await writers.stop();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect(writers.failures).toEqual([]);
  expect(relay.relay.status()).toMatchObject({ role: 'leader', epoch: 1 });
  expect(await relay.count('foreignMessages')).toBe(0);
  expect(await relay.count('healedEvents')).toBe(0);
});

test('while NATS is down the relay pauses, says so, burns nothing, and goes on by itself', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  await using writers = stage.startWriters();
  await stage.write(1);
  await stage.untilDrained();
  const before = { lines: relay.lines.length, commits: writers.commits };
  nats.kill('SIGKILL');
  expect(await relay.until('paused')).toMatch(/NATS/);
  const planned = (await stage.log()).length;
  const downMs = 5_000;
  await sleep(downMs); // The length of the outage.
  expect(readiness(relay.relay.status())).toMatchObject({ ok: false });
  expect(readiness(relay.relay.status()).reasons).toContain('not connected to NATS');
  expect(relay.relay.status()).toMatchObject({ role: 'leader', databaseConnected: true });
  expect((await stage.log()).length - planned).toBeLessThanOrEqual(1);
  expect(writers.commits - before.commits).toBeGreaterThan(100);
  expect(relay.lines.length - before.lines).toBeLessThanOrEqual(downMs / 1_000 + 3);
  await nats.start();
  await relay.until('publishing');
  await writers.stop();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect(writers.failures).toEqual([]);
  const { rows } = await stage.pool.query('select count(*)::int from postcommit.dead_letters');
  expect(rows[0].count).toBe(0);
  expect(readiness(relay.relay.status())).toEqual({ ok: true, reasons: [] });
});

test('a frozen NATS makes every answer late, and none is taken for another', async () => {
  await using stage = await openStage({ natsUrl: nats.url });
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  await using writers = stage.startWriters({ count: 2 });
  await stage.untilPublishing({ events: 2_000, share: 0.1 });
  nats.kill('SIGSTOP');
  try {
    await relay.until('starting', 15_000);
  } finally {
    nats.kill('SIGCONT');
  }
  await writers.stop();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});
