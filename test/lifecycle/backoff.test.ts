import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createBackoff } from '../../src/lifecycle/backoff.ts';

test('delays lie between half the ceiling and the ceiling, which doubles up to its bound, and start over after a reset', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 10_000 }), (firstMs, more) => {
      const maxMs = firstMs + more;
      const backoff = createBackoff({ firstMs, maxMs });
      for (let round = 0; round < 2; round++) {
        let ceiling = firstMs;
        for (let i = 0; i < 20; i++) {
          const delay = backoff.next();
          expect(delay).toBeGreaterThanOrEqual(ceiling / 2);
          expect(delay).toBeLessThanOrEqual(ceiling);
          ceiling = Math.min(2 * ceiling, maxMs);
        }
        backoff.reset();
      }
    }),
  );
});

test('two relays do not return in step', () => {
  const [one, other] = [createBackoff(), createBackoff()];
  const delays = Array.from({ length: 10 }, () => [one.next(), other.next()]);
  expect(delays.some(([a, b]) => a !== b)).toBe(true);
});
