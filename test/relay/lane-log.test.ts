import { expect, test } from 'vitest';
import { createLaneLog } from '../../src/relay/lane/lane-log.ts';

test('the newest plan is unsaid until a row behind it says that it is settled', () => {
  let settledBatch = 0;
  const log = createLaneLog({
    stream: 's',
    ordering: 'key',
    epoch: 1,
    settled: () => ({ settledTo: null, settledBatch }),
  });
  log.restart(undefined, 'created');
  expect(log.unsaid).toBe(false);
  log.next({ kind: 'new', first: 1, last: 1, positions: [1, 1] });
  expect(log.unsaid).toBe(true);
  // Empty, and written while the plan was under way.
  const empty = log.next({ kind: 'new', first: 2, last: 1, positions: [] });
  expect(log.unsaid).toBe(true);
  settledBatch = 2;
  log.next({ kind: 'new', first: 2, last: 1, positions: [] });
  expect(log.unsaid).toBe(false);
  log.restart(empty, 'created');
  expect(log.unsaid).toBe(true);
});
