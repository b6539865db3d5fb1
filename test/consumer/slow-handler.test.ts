import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createConsumerMeter } from '../../src/consumer/meter.ts';
import type { ConsumerSettings } from '../../src/consumer/options.ts';
import { watchHandler } from '../../src/consumer/work/slow-handler.ts';
import type { ConsumedEvent } from '../../src/jetstream/index.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

function createRig() {
  const warn = vi.fn();
  const metrics = createMetrics();
  const meter = createConsumerMeter(metrics, 'billing');
  const settings = { durable: 'billing', logger: { warn }, meter } as unknown as ConsumerSettings;
  const event = { sequence: 7 } as ConsumedEvent;
  return {
    watch: (handling: Promise<void>) => watchHandler(handling, [event], settings),
    said: () => warn.mock.calls.map(([facts]) => facts.seconds),
    slow: async () => (await metrics.slowHandlers.get()).values[0]?.value,
  };
}

test('a handler that does not end is said, and counted while it lasts', async () => {
  const rig = createRig();
  let end: () => void = () => undefined;
  const watched = rig.watch(new Promise((resolve) => (end = resolve)));
  await vi.advanceTimersByTimeAsync(29_000);
  expect(rig.said()).toEqual([]);
  await vi.advanceTimersByTimeAsync(61_000);
  expect(rig.said()).toEqual([30, 90]);
  expect(await rig.slow()).toBe(1);
  end();
  await watched;
  expect(await rig.slow()).toBe(0);
  await vi.advanceTimersByTimeAsync(600_000);
  expect(rig.said()).toHaveLength(2);
});

test('what a handler throws comes through', async () => {
  await expect(createRig().watch(Promise.reject(new Error('no such ward')))).rejects.toThrow('no such ward');
});
