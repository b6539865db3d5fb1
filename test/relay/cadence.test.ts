import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createCadence } from '../../src/relay/reading/cadence.ts';

/** Looks at a steady rate, each taking `lookMs`; returns the interval it has settled at. */
function settle(eventsPerSecond: number, { lookMs = 1, forMs = 2_000 } = {}): number {
  const cadence = createCadence();
  let [now, seen] = [0, 0];
  while (now < forMs) {
    cadence.started(now);
    now += lookMs;
    const until = Math.floor((now / 1_000) * eventsPerSecond);
    cadence.looked(until - seen, now);
    seen = until;
    now += cadence.restMs(cadence.intervalMs, now);
  }
  return cadence.intervalMs;
}

test('the more comes, the sooner it looks again, within bounds', () => {
  expect(settle(750)).toBeGreaterThan(2.7);
  expect(settle(750)).toBeLessThan(4.3);
  for (const rate of [0, 1, 100, 400]) expect(settle(rate)).toBe(5);
  for (const rate of [1_500, 5_000, 100_000]) expect(settle(rate)).toBe(2);
});

test('a look that takes long is followed by a short rest, never by none', () => {
  expect(settle(5_000, { lookMs: 30 })).toBe(2);
  const cadence = createCadence();
  cadence.started(0);
  expect(cadence.restMs(2, 30)).toBe(1);
  expect(cadence.restMs(4, 1)).toBe(3);
});

test('whatever comes, and however fast the looks follow one another, it is between the bounds', () => {
  const looks = fc.array(fc.tuple(fc.nat(8_000), fc.double({ min: 0, max: 1_000, noNaN: true })));
  fc.assert(
    fc.property(looks, (steps) => {
      const cadence = createCadence();
      let now = 0;
      for (const [events, ms] of steps) {
        cadence.started(now);
        now += ms;
        cadence.looked(events, now);
        expect(cadence.intervalMs).toBeGreaterThanOrEqual(2);
        expect(cadence.intervalMs).toBeLessThanOrEqual(5);
        const rest = cadence.restMs(cadence.intervalMs, now);
        expect(rest).toBeGreaterThanOrEqual(1);
        expect(rest).toBeLessThanOrEqual(5);
      }
    }),
  );
});
