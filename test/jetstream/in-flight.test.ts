import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createInFlight } from '../../src/jetstream/in-flight.ts';

test('each ticket is released once, whatever the order, and counts and bytes follow', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constant('add' as const), fc.nat(40)), { maxLength: 300 }), (steps) => {
      const ring = createInFlight(8);
      const open = new Map<number, { token: number; size: number }>();
      const everIssued = new Set<number>();
      for (const [token, step] of steps.entries()) {
        if (step === 'add') {
          if (open.size === 8) continue;
          const ticket = ring.add(token, token + 1);
          expect(everIssued.has(ticket)).toBe(false);
          everIssued.add(ticket);
          open.set(ticket, { token, size: token + 1 });
        } else {
          expect(ring.release(step)).toBe(open.get(step)?.token);
          open.delete(step);
        }
        expect(ring.count).toBe(open.size);
        expect(ring.bytes).toBe([...open.values()].reduce((sum, { size }) => sum + size, 0));
        expect(ring.sentBefore(0)).toEqual([...open.keys()].sort((a, b) => a - b));
      }
    }),
  );
});

test('one unanswered message does not stop the ring', () => {
  const ring = createInFlight(4);
  const stuck = ring.add(0, 1);
  for (let token = 1; token < 50; token++) expect(ring.release(ring.add(token, 1))).toBe(token);
  expect(ring.release(stuck)).toBe(0);
});

test('tickets that are none release nothing', () => {
  const ring = createInFlight(4);
  ring.add(7, 1);
  for (const ticket of [-1, -4, 0.5, 4, Number.NaN, Number.POSITIVE_INFINITY])
    expect(ring.release(ticket)).toBeUndefined();
  expect(ring.count).toBe(1);
});

test('a full ring is a bug of the caller', () => {
  const ring = createInFlight(2);
  ring.add(1, 1);
  ring.add(2, 1);
  expect(() => ring.add(3, 1)).toThrow('room');
});
