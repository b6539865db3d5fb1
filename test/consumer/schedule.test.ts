import { expect, test, vi } from 'vitest';
import type { Job } from '../../src/consumer/work/job.ts';
import { createSchedule } from '../../src/consumer/work/schedule.ts';
import type { ConsumedEvent } from '../../src/jetstream/index.ts';
import { createFakeClock } from '../../src/testing/index.ts';

let sequences = 0;

function job(line: string): Job {
  const event = { sequence: ++sequences, payload: Buffer.alloc(3) } as unknown as ConsumedEvent;
  return {
    event,
    line,
    lease: undefined,
    letter: undefined,
    delivery: undefined,
    tried: false,
    alone: false,
    dueMs: 0,
    over: false,
  };
}

function createRig() {
  const onRoom = vi.fn();
  const schedule = createSchedule({ onRoom });
  const offer = (...lines: string[]) => {
    const jobs = lines.map(job);
    for (const one of jobs) schedule.offer(one);
    return jobs;
  };
  return { schedule, offer, onRoom };
}

/** Ends a claim in which all succeeded. */
function finish({ schedule }: ReturnType<typeof createRig>, claim: readonly Job[] | undefined): void {
  for (const one of claim ?? []) one.over = true;
  schedule.release(claim ?? []);
}

test('jobs of a line are claimed one claim at a time, in the order in which they were offered (S1)', async () => {
  const rig = createRig();
  const [a1, a2, b1] = rig.offer('a', 'a', 'b');
  const first = await rig.schedule.claim(1);
  expect(first).toEqual([a1]);
  expect(await rig.schedule.claim(1)).toEqual([b1]);
  const next = rig.schedule.claim(1);
  finish(rig, first);
  expect(await next).toEqual([a2]);
});

test('a claim takes stretches of lines, each in order, and no more than it may', async () => {
  const rig = createRig();
  const [a1, b1, a2, a3, b2] = rig.offer('a', 'b', 'a', 'a', 'b');
  const claim = await rig.schedule.claim(4);
  expect(claim).toEqual([a1, a2, a3, b1]);
  finish(rig, claim);
  expect(await rig.schedule.claim(4)).toEqual([b2]);
});

test('who waits gets all that was offered at once, as far as it may take it', async () => {
  const rig = createRig();
  const [first, second] = [rig.schedule.claim(3), rig.schedule.claim(3)];
  const [a1, b1, a2, c1] = rig.offer('a', 'b', 'a', 'c');
  expect(await first).toEqual([a1, a2, b1]);
  expect(await second).toEqual([c1]);
  expect(rig.schedule.waiting).toBe(0);
  expect(rig.onRoom).toHaveBeenCalledTimes(2);
});

test('a job that is not over keeps its place and its line waiting until it is due (S2)', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  try {
    const rig = createRig();
    const [a1, a2] = rig.offer('a', 'a');
    const claim = await rig.schedule.claim(2);
    expect(claim).toEqual([a1, a2]);
    if (a1 !== undefined) a1.dueMs = performance.now() + 500;
    rig.schedule.release(claim ?? []);
    const [b1] = rig.offer('b');
    expect(rig.schedule.waiting).toBe(1);
    expect(await rig.schedule.claim(2)).toEqual([b1]);
    let again: readonly Job[] | undefined;
    void rig.schedule.claim(2).then((jobs) => {
      again = jobs;
    });
    await vi.advanceTimersByTimeAsync(499);
    expect(again).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    expect(again).toEqual([a1, a2]);
  } finally {
    vi.useRealTimers();
  }
});

test('of a claim, what is over leaves and the rest stays in order', async () => {
  const rig = createRig();
  const [a1, a2, a3] = rig.offer('a', 'a', 'a');
  const claim = await rig.schedule.claim(3);
  if (a1 !== undefined) a1.over = true;
  rig.schedule.release(claim ?? []);
  expect(await rig.schedule.claim(3)).toEqual([a2, a3]);
});

test('one that would spoil the transaction of others is claimed by itself, and what is behind it later', async () => {
  const rig = createRig();
  const [a1, a2, b1] = rig.offer('a', 'a', 'b');
  if (a1 !== undefined) a1.alone = true;
  const claim = await rig.schedule.claim(3);
  expect(claim).toEqual([a1, b1]);
  finish(rig, claim);
  expect(await rig.schedule.claim(3)).toEqual([a2]);
});

test('the bytes it holds are those of what is not over', async () => {
  const rig = createRig();
  const [, a2] = rig.offer('a', 'a', 'b');
  expect(rig.schedule.bytes).toBe(9);
  const claim = await rig.schedule.claim(3);
  for (const one of claim ?? []) one.over = one !== a2;
  rig.schedule.release(claim ?? []);
  expect(rig.schedule.bytes).toBe(3);
  rig.schedule.clear();
  expect(rig.schedule.bytes).toBe(0);
});

test('what waits counts neither what is claimed nor what waits for its time', async () => {
  const rig = createRig();
  rig.offer('a', 'a', 'b');
  expect(rig.schedule.waiting).toBe(3);
  const claim = await rig.schedule.claim(1);
  expect(rig.schedule.waiting).toBe(2);
  finish(rig, claim);
  expect(rig.schedule.waiting).toBe(2);
  expect(rig.onRoom).toHaveBeenCalledTimes(2);
});

test('a clear drops what is unclaimed, and a claim of before leaves no trace when it ends', async () => {
  const rig = createRig();
  const [a1, a2, b1] = rig.offer('a', 'a', 'b');
  const claim = await rig.schedule.claim(1);
  expect(claim).toEqual([a1]);
  expect(rig.schedule.clear()).toEqual([a2, b1]);
  const [a3] = rig.offer('a');
  expect(await rig.schedule.claim(1)).toEqual([a3]);
  rig.schedule.release(claim ?? []);
  expect(rig.schedule.waiting).toBe(0);
});

test('once closed, claims that wait and later ones end', async () => {
  const rig = createRig();
  const waiting = rig.schedule.claim(1);
  rig.schedule.close();
  expect([await waiting, await rig.schedule.claim(1)]).toEqual([undefined, undefined]);
});

test('jobs are due by the clock that is given, and what is dropped does not wait for it any more', async () => {
  const clock = createFakeClock();
  const schedule = createSchedule({ onRoom: () => undefined, clock });
  const [a1, b1] = ['a', 'b'].map(job);
  for (const one of [a1, b1]) if (one !== undefined) schedule.offer(one);
  const claim = await schedule.claim(2);
  clock.advance(10);
  if (a1 !== undefined) a1.dueMs = 1_010;
  if (b1 !== undefined) b1.dueMs = 5_010;
  schedule.release(claim ?? []);
  expect(clock.waiting).toEqual([1_000, 5_000]);
  clock.advance(1_000);
  expect(await schedule.claim(2)).toEqual([a1]);
  expect(schedule.clear()).toEqual([b1]);
  expect(clock.waiting).toEqual([]);
});
