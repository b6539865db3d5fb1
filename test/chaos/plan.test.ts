import { expect, test } from 'vitest';
import { createRandom } from '../../src/demo/random.ts';
import { createPlan, describeFault } from './system/plan.ts';

const planOf = (seed: number) => createPlan(createRandom(`${seed}/system`).fork('plan'), { seconds: 30 });

test('a seed repeats its plan, and another seed has another one', () => {
  expect(planOf(7)).toEqual(planOf(7));
  expect(planOf(7)).not.toEqual(planOf(8));
});

test('twenty seeds do every kind of harm, at every point, on every link, in both orderings', () => {
  const plans = Array.from({ length: 20 }, (_, i) => planOf(i + 1));
  const texts = new Set(plans.flatMap(({ faults }) => faults.map(({ fault }) => describeFault(fault))));
  const kinds = new Set(plans.flatMap(({ faults }) => faults.map(({ fault }) => fault.kind)));
  expect(kinds.size).toBe(21);
  expect([...texts].filter((text) => text.startsWith('kill-at-point')).length).toBeGreaterThanOrEqual(14);
  expect([...texts].filter((text) => text.startsWith('network')).length).toBeGreaterThanOrEqual(15);
  expect(new Set(plans.map(({ ordering }) => ordering))).toEqual(new Set(['stream', 'key']));
  expect(new Set(plans.map(({ brokers }) => brokers))).toEqual(new Set([1, 3]));
});
