import { describe, expect, test } from 'vitest';
import { check, type Model } from './checker.ts';

/** A jug puzzle: three and five litres, how to get four? */
function jugs(wanted: number): Model<readonly [number, number]> {
  return {
    initial: [0, 0],
    *steps([three, five]) {
      yield { label: 'fill 3', next: [3, five] };
      yield { label: 'fill 5', next: [three, 5] };
      yield { label: 'empty 3', next: [0, five] };
      yield { label: 'empty 5', next: [three, 0] };
      const over = Math.min(three, 5 - five);
      yield { label: '3 into 5', next: [three - over, five + over] };
      const back = Math.min(five, 3 - three);
      yield { label: '5 into 3', next: [three + back, five - back] };
    },
    key: String,
    violation: ([, five]) => (five === wanted ? `${wanted} litres` : undefined),
  };
}

/** A counter that only rises, and may fall back to 0 by a fault. */
function counter(trap: number): Model<number> {
  return {
    initial: 0,
    *steps(state) {
      if (state < 3 && state !== trap) yield { label: 'up', next: state + 1 };
      if (state > 0) yield { label: 'reset', next: 0, fault: true };
    },
    key: String,
    violation: () => undefined,
    goal: (state) => state === 3,
  };
}

describe('the checker', () => {
  test('finds a shortest counterexample', async () => {
    const { answer } = await check(jugs(4), { maxStates: 1_000 });
    expect(answer).toEqual({
      kind: 'violated',
      what: '4 litres',
      trace: ['fill 5', '5 into 3', 'empty 3', '5 into 3', 'fill 5', '5 into 3'],
    });
  });

  test('explores everything, and says when it did not', async () => {
    const whole = await check(jugs(9), { maxStates: 1_000 });
    expect(whole).toMatchObject({ answer: { kind: 'holds' }, complete: true, states: 16 });
    expect(await check(jugs(9), { maxStates: 10 })).toMatchObject({
      answer: { kind: 'holds' },
      complete: false,
    });
  });

  test('finds a state that faults alone lead out of', async () => {
    expect((await check(counter(-1), { maxStates: 100 })).answer).toEqual({ kind: 'holds' });
    expect((await check(counter(2), { maxStates: 100 })).answer).toMatchObject({
      kind: 'violated',
      trace: [],
    });
  });
});
