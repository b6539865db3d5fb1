import { expect, test } from 'vitest';
import { faultsOf, type LogRow, type OutboxRow, type StreamMessage } from '../support/stream-history.ts';

// The other tests here believe this comparison: it has to see every kind of fault.

const row = (position: number): OutboxRow => ({
  position,
  eventId: `id-${position}`,
  subject: 'a',
  payload: `payload ${position}`,
});
const message = (sequence: number, position: number, fields: Partial<StreamMessage> = {}): StreamMessage => ({
  ...row(position),
  sequence,
  source: 'test',
  skipped: '',
  ...fields,
});
const planned = (
  batch: number,
  first: number,
  positions: number[],
  fields: Partial<LogRow> = {},
): LogRow => ({
  batch,
  epoch: 1,
  ordering: 'stream',
  kind: 'new',
  firstSequence: first,
  lastSequence: first + positions.length - 1,
  settledTo: null,
  positions,
  parked: [],
  ...fields,
});
const OUTBOX = [row(1), row(2), row(3)];
const LOG = [planned(1, 1, [1, 2]), planned(2, 3, [3])];
const STORED = [message(1, 1), message(2, 2), message(3, 3)];

test('a faithful history has no fault, with or without a foreign message', () => {
  expect(faultsOf({ outbox: OUTBOX, log: LOG, messages: STORED })).toEqual([]);
  const log = [...LOG, planned(3, 4, [3], { kind: 'again' })];
  const messages = [message(1, 1), message(2, 2), message(3, 0, { source: '' }), message(4, 3)];
  expect(faultsOf({ outbox: OUTBOX, log, messages })).toEqual([]);
});

const UNDER_PREFIX = message(6, 1, { subject: 'again.a' });

test('markers at their places, dead events and replays are no faults', () => {
  const log = [
    ...LOG,
    planned(3, 2, [2], { kind: 'marker' }),
    planned(4, 4, [2], { kind: 'retry' }),
    planned(5, 5, [1], { kind: 'replay' }),
    planned(6, 6, [1], { kind: 'replay', prefix: 'again' }),
  ];
  const marker = message(2, 2, { skipped: 'id-2' });
  const [first, , third] = STORED as [StreamMessage, StreamMessage, StreamMessage];
  const retried = [first, marker, third, message(4, 2), message(5, 1), UNDER_PREFIX];
  expect(faultsOf({ outbox: OUTBOX, log, messages: retried })).toEqual([]);
  const dead = { outbox: OUTBOX, log: log.slice(0, 3), dead: [2] };
  expect(faultsOf({ ...dead, messages: [first, marker, third] })).toEqual([]);
  expect(faultsOf({ ...dead, messages: STORED })).toContain('dead and stored: 2');
});

test.each<{ fault: string; messages?: StreamMessage[]; log?: LogRow[] }>([
  { fault: 'lost: 3', messages: STORED.slice(0, 2) },
  { fault: 'twice: 3 at 3 and 4', messages: [...STORED, message(4, 3)] },
  { fault: 'unplanned marker: 3 at 4', messages: [...STORED, message(4, 3, { skipped: 'id-3' })] },
  { fault: 'phantom: 9 at 4', messages: [...STORED, message(4, 9)] },
  { fault: 'changed: 3 at 3', messages: [...STORED.slice(0, 2), message(3, 3, { payload: 'other' })] },
  {
    fault: 'wrong subject: 3 at 3',
    messages: [...STORED.slice(0, 2), message(3, 3, { subject: 'again.a' })],
  },
  {
    fault: 'wrong subject: 1 at 4',
    log: [...LOG, planned(3, 4, [1], { kind: 'replay', prefix: 'again' })],
    messages: [...STORED, message(4, 1)],
  },
  { fault: 'misplaced: 2 at 3, planned for 2', messages: [message(1, 1), message(2, 3), message(3, 2)] },
  { fault: 'batch 3 follows batch 1', log: [planned(1, 1, [1, 2]), planned(3, 3, [3])] },
  {
    fault: 'batch 2 is of epoch 1 after epoch 2',
    log: [planned(1, 1, [1, 2], { epoch: 2 }), planned(2, 3, [3])],
  },
  { fault: 'batch 2 begins inside an older plan', log: [planned(1, 1, [1, 2]), planned(2, 2, [3])] },
  { fault: 'batch 2 has 1 events', log: [planned(1, 1, [1, 2]), planned(2, 3, [3], { lastSequence: 4 })] },
  { fault: 'position 3 is planned twice as new', log: [...LOG, planned(3, 4, [3])] },
])('it sees "$fault"', ({ fault, messages = STORED, log = LOG }) => {
  expect(faultsOf({ outbox: OUTBOX, log, messages }).join('\n')).toContain(fault);
});
