import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ConnectFailure } from '../../src/jetstream/connect-failure.ts';
import { createOutageWatch } from '../../src/jetstream/outage-watch.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function watchWith(answers: readonly (string | undefined)[]) {
  let dials = 0;
  const told: string[] = [];
  const watch = createOutageWatch({
    async dial(): Promise<ConnectFailure | undefined> {
      const reason = answers[Math.min(dials++, answers.length - 1)];
      return reason === undefined ? undefined : { reason, hint: 'a hint' };
    },
    tell: ({ reason }) => void told.push(reason),
  });
  return { watch, told, dials: () => dials };
}

test('a loss that is over at once is not looked into', async () => {
  const { watch, told, dials } = watchWith(['refused']);
  watch.begin();
  await vi.advanceTimersByTimeAsync(1_900);
  watch.end();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([dials(), told, watch.failure]).toEqual([0, [], undefined]);
});

test('a reason is told when it changes, and twice a minute while it does not', async () => {
  const { watch, told } = watchWith(['refused', 'refused', 'a wrong password', undefined, 'refused']);
  watch.begin();
  watch.begin(); // Two losses in a row are one outage.
  await vi.advanceTimersByTimeAsync(7_100);
  expect([told, watch.failure?.reason]).toEqual([['refused'], 'refused']);
  await vi.advanceTimersByTimeAsync(5_000);
  expect([told, watch.failure?.reason]).toEqual([['refused', 'a wrong password'], 'a wrong password']);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(watch.failure).toBeUndefined();
  await vi.advanceTimersByTimeAsync(40_100);
  expect(told).toEqual(['refused', 'a wrong password', 'refused', 'refused']);
  watch.end();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([told.length, watch.failure]).toEqual([4, undefined]);
});
