import type { Batch, BatchKind } from '../../src/batch-log/batch.ts';
import { rangesOf } from '../../src/postgres/position-ranges.ts';

/** A row of the batch log; what a test does not say is as in the first row of a log. */
export function batchRow(
  kind: BatchKind,
  firstSequence: number,
  positions: readonly number[],
  more: Partial<Batch> = {},
): Batch {
  return {
    stream: 's',
    incarnation: 'i',
    batch: 1,
    epoch: 1,
    ordering: 'stream',
    kind,
    firstSequence,
    lastSequence: firstSequence + positions.length - 1,
    settledTo: null,
    settledBatch: null,
    positions: rangesOf(positions),
    subjectPrefix: null,
    parked: [],
    readTo: 0,
    openFrom: 1,
    ...more,
  };
}
