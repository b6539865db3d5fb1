import { expect, test } from 'vitest';
import { createPlansUnderWay } from '../../src/relay/reading/plans-under-way.ts';

test('a watch sees what was under way when it began and what began since, also if it has ended', () => {
  const underWay = createPlansUnderWay();
  const over = underWay.begin([1, 2]);
  const before = underWay.begin([3]);
  over();
  const watch = underWay.watch();
  before();
  const during = underWay.begin([7, 8]);
  during();
  expect(watch.positions).toEqual([3, 3, 7, 8]);
  watch.end();
  underWay.begin([9]);
  expect(watch.positions).toEqual([3, 3, 7, 8]);
});
