import { type Batch, type BatchKind, type Ordering, saysAllSettled } from '../../batch-log/batch.ts';
import type { PositionRanges } from '../../postgres/position-ranges.ts';

/** How far reading got. */
export interface Reading {
  readonly readTo: number;
  readonly openFrom: number;
}

export interface NewRow {
  readonly kind: BatchKind;
  readonly first: number;
  readonly last: number;
  readonly positions: PositionRanges;
  readonly subjectPrefix?: string | null;
  readonly parked?: PositionRanges;
  /** Default: that of the row before; rows about older events repeat it, a read may be under way. */
  readonly reading?: Reading;
}

/** What one lane has written to the batch log, as far as its next row has to go on from it. */
export interface LaneLog {
  readonly reading: Reading;
  readonly lastBatch: number;
  /** No row says of the newest plan that it is settled: only a later one can. */
  readonly unsaid: boolean;
  /** The stream that rows speak of; undefined before it was looked up. */
  readonly incarnation: string | undefined;
  /** Takes over the newest row of the log, undefined if there is none, and the stream as it was found. */
  restart(last: Batch | undefined, incarnation: string): void;
  /** The next row. It counts as written: whoever fails to write it must end the leadership. */
  next(row: NewRow): Batch;
}

export interface LaneLogOptions {
  readonly stream: string;
  readonly ordering: Ordering;
  readonly epoch: number;
  /** What is settled at this moment. */
  readonly settled: () => { readonly settledTo: number | null; readonly settledBatch: number | null };
}

export function createLaneLog({ stream, ordering, epoch, settled }: LaneLogOptions): LaneLog {
  let reading: Reading = { readTo: 0, openFrom: 1 };
  let lastBatch = 0;
  let incarnation: string | undefined;
  let unsaid = false;
  return {
    get reading() {
      return reading;
    },
    get lastBatch() {
      return lastBatch;
    },
    get unsaid() {
      return unsaid;
    },
    get incarnation() {
      return incarnation;
    },
    restart(last, created) {
      incarnation = created;
      if (last === undefined) return;
      lastBatch = last.batch;
      unsaid = !saysAllSettled(last);
      reading = { readTo: last.readTo, openFrom: last.openFrom };
    },
    next(row) {
      if (incarnation === undefined) throw new Error('planned before the stream was looked up');
      reading = row.reading ?? reading;
      lastBatch += 1;
      const written: Batch = {
        stream,
        incarnation,
        batch: lastBatch,
        epoch,
        ordering,
        kind: row.kind,
        firstSequence: row.first,
        lastSequence: row.last,
        ...settled(),
        positions: row.positions,
        subjectPrefix: row.subjectPrefix ?? null,
        parked: row.parked ?? [],
        readTo: reading.readTo,
        openFrom: reading.openFrom,
      };
      unsaid = !saysAllSettled(written);
      return written;
    },
  };
}
