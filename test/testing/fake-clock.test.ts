import { expect, test } from 'vitest';
import { createFakeClock } from '../../src/testing/index.ts';

test('timers wake in the order in which they are due, each at its time, and those called off never', () => {
  const clock = createFakeClock();
  const woken: [string, number][] = [];
  const note = (name: string) => () => void woken.push([name, clock.now()]);
  clock.setTimer(300, note('late'));
  clock.setTimer(100, note('early'));
  const callOff = clock.setTimer(200, note('never'));
  clock.setTimer(100, note('early too'));
  callOff();
  clock.advance(99);
  expect(woken).toEqual([]);
  expect(clock.waiting).toEqual([1, 1, 201]);
  clock.advance(500);
  expect(woken).toEqual([
    ['early', 100],
    ['early too', 100],
    ['late', 300],
  ]);
  expect([clock.now(), clock.waiting]).toEqual([599, []]);
});

test('what is set while the clock moves on is woken in the same move, if it is due by then', () => {
  const clock = createFakeClock();
  const woken: number[] = [];
  const again = () => {
    woken.push(clock.now());
    clock.setTimer(400, again);
  };
  clock.setTimer(400, again);
  clock.advance(1_000);
  expect(woken).toEqual([400, 800]);
  expect(clock.waiting).toEqual([200]);
});

test('a fraction of a millisecond is never too short', () => {
  const clock = createFakeClock();
  clock.advance(7);
  const dueMs = clock.now() + 12.3;
  let wokenAt = 0;
  clock.setTimer(dueMs - clock.now(), () => {
    wokenAt = clock.now();
  });
  clock.advance(13);
  expect(wokenAt).toBeGreaterThanOrEqual(dueMs);
});

test('advanceToNext() waits for something that waits, and skips to it', async () => {
  const clock = createFakeClock();
  const woken: string[] = [];
  setTimeout(() => {
    clock.setTimer(90_000, () => woken.push('second'));
    clock.setTimer(60_000, () => woken.push('first'));
  }, 20);
  expect(await clock.advanceToNext()).toBe(60_000);
  expect(woken).toEqual(['first']);
  expect(await clock.advanceToNext()).toBe(30_000);
  expect(woken).toEqual(['first', 'second']);
  await expect(clock.advanceToNext({ timeoutMs: 30 })).rejects.toThrow(
    /^waited 30 ms in vain until something waits for the fake clock/,
  );
});

test.each([-1, 0.5, Number.NaN])('it does not move by %s', (ms) => {
  expect(() => createFakeClock().advance(ms)).toThrow('whole milliseconds');
});
