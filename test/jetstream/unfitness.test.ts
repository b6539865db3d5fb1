import { expect, test } from 'vitest';
import { type StreamState, unfitness } from '../../src/jetstream/index.ts';

const fit: StreamState = {
  name: 'S',
  created: '2025-01-01T00:00:00.123456789Z',
  firstSequence: 1,
  lastSequence: 0,
  messages: 0,
  bytes: 0,
  subjects: ['events.>'],
  maxMessageSize: -1,
  maxMessages: -1,
  maxBytes: -1,
  maxAgeMs: 0,
  maxMessagesPerSubject: -1,
  duplicateWindowMs: 30_000,
  noAck: false,
  sealed: false,
  retention: 'limits',
  storage: 'file',
  replicas: 1,
  discard: 'old',
  mirror: false,
  sources: false,
};

test.each([
  ['all subjects', fit, ['events.>']],
  ['some of the subjects', fit, ['events.order.*', 'events.a']],
  ['subjects in parts', { ...fit, subjects: ['events.*', 'events.*.>'] }, ['events.>']],
  ['a work queue', { ...fit, retention: 'workqueue' as const }, ['events.>']],
])('%s is fit', (_what, state, subjects) => {
  expect(unfitness(state, subjects)).toEqual([]);
});

test.each([
  ['no_ack', { noAck: true }, ['events.>'], ['no_ack']],
  ['a seal', { sealed: true }, ['events.>'], ['sealed']],
  ['a mirror', { mirror: true, subjects: [] }, ['events.>'], ['mirror']],
  ['sources', { sources: true }, ['events.>'], ['sources']],
  ['other subjects', { subjects: ['orders.>'] }, ['events.>'], ["'events.>'"]],
  ['too few subjects', { subjects: ['events.*'] }, ['events.>', 'events.a'], ["not 'events.>':"]],
  ['two at once', { noAck: true, subjects: ['a'] }, ['b'], ['no_ack', "captures 'a', not 'b'"]],
])('%s makes a stream unfit', (_what, fields, subjects, reasons) => {
  const faults = unfitness({ ...fit, ...fields }, subjects);
  expect(faults).toHaveLength(reasons.length);
  for (const [index, reason] of reasons.entries()) expect(faults[index]).toContain(reason);
});

test('only the total order needs a stream without sources', () => {
  expect(unfitness({ ...fit, sources: true }, ['events.>'], { ordering: 'key' })).toEqual([]);
});
