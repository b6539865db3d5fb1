import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { createWakeUp } from '../../src/lifecycle/wake-up.ts';

const LONG_MS = 60_000;

test('a call before the wait ends it at once, and is used up', async () => {
  const wakeUp = createWakeUp();
  wakeUp.wake();
  wakeUp.wake();
  expect(await wakeUp.wait(LONG_MS)).toBe(true);
  expect(await wakeUp.wait(0)).toBe(false);
});

test('a call during the wait ends it', async () => {
  const wakeUp = createWakeUp();
  const waiting = wakeUp.wait(LONG_MS);
  wakeUp.wake();
  expect(await waiting).toBe(true);
  expect(await wakeUp.wait(0)).toBe(false);
});

test('a call between the end of the time and its return is not lost', async () => {
  const wakeUp = createWakeUp();
  const waiting = wakeUp.wait(0);
  await new Promise((resolve) => setTimeout(resolve, 5));
  wakeUp.wake();
  const first = await waiting;
  expect(first || (await wakeUp.wait(0))).toBe(true);
});

test('an abort ends the wait, before and during it, and leaves no listener behind', async () => {
  const wakeUp = createWakeUp();
  const stop = new AbortController();
  for (let i = 0; i < 3; i++) await wakeUp.wait(0, stop.signal);
  expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
  const waiting = wakeUp.wait(LONG_MS, stop.signal);
  stop.abort();
  expect(await waiting).toBe(false);
  expect(await wakeUp.wait(LONG_MS, stop.signal)).toBe(false);
  wakeUp.wake();
  expect(await wakeUp.wait(LONG_MS, stop.signal)).toBe(true);
});
