import fc from 'fast-check';
import { expect, test } from 'vitest';
import { widenXid } from '../../src/outbox/holders.ts';

const EPOCH = 1n << 32n;

test('a 32-bit transaction id near the snapshot`s xmax gets its 64 bits back, across the turn of an epoch too', () => {
  const xid = fc.bigInt({ min: EPOCH / 2n, max: 20n * EPOCH });
  const distance = fc.bigInt({ min: -(EPOCH / 2n) + 1n, max: EPOCH / 2n - 1n });
  fc.assert(
    fc.property(xid, distance, (full, offset) => {
      fc.pre(full + offset >= 0n);
      expect(widenXid(full % EPOCH, full + offset)).toBe(full);
    }),
  );
  const turns: [bigint, bigint][] = [
    [EPOCH - 1n, EPOCH + 3n],
    [EPOCH + 3n, EPOCH - 1n],
    [3n * EPOCH + 700n, 3n * EPOCH + 701n],
  ];
  for (const [full, xmax] of turns) expect(widenXid(full % EPOCH, xmax)).toBe(full);
});
