import { expect, test } from 'vitest';
import { type Consignment, createKeyQueue } from '../../src/relay/keys/key-queue.ts';

const consignment = (position: number, copy = false): Consignment => ({
  event: {
    position,
    eventId: `id-${position}`,
    subject: copy ? 'again.a' : 'a',
    key: 'k',
    type: null,
    headers: null,
    payload: new Uint8Array(position),
    createdAtMs: position,
  },
  name: copy ? `${position} again` : position,
  copy,
  batch: 1,
  messageId: null,
  bound: 0,
  safeUntilMs: Number.POSITIVE_INFINITY,
});

test('what follows a dead event of its key is set aside with it; copies stay, in their order', () => {
  const queue = createKeyQueue({ perKey: true });
  for (const one of [consignment(1), consignment(2, true), consignment(3), consignment(4, true)])
    queue.add(one);
  const head = queue.take();
  expect(queue.followers('k').map(({ name }) => name)).toEqual([3]);
  expect([queue.pending, queue.pendingBytes]).toEqual([3, 1 + 2 + 4]);
  const order = [];
  for (let token = head; queue.pending > 0; token = queue.take()) {
    order.push(queue.done(token)?.name);
    if (queue.pending === 0) break;
  }
  expect(order).toEqual([1, '2 again', '4 again']);
});

test('of copies nobody says that they are late', () => {
  const queue = createKeyQueue({ perKey: false });
  queue.add(consignment(1, true));
  expect(queue.oldest).toBeUndefined();
  queue.add(consignment(2));
  queue.take();
  expect(queue.oldest?.position).toBe(2);
  expect(queue.names()).toEqual(new Set(['1 again', 2]));
});
