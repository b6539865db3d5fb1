import type { PositionRanges } from '../postgres/position-ranges.ts';

export type Ordering = 'stream' | 'key' | 'none';

/** Why a row was written; see `docs/architecture.md`. */
export type BatchKind = 'new' | 'retry' | 'again' | 'marker' | 'found' | 'replay';

/**
 * A row of the batch log. In `stream` ordering event i of it may only ever be stored at `firstSequence + i`; in the others
 * `firstSequence` is a lower bound of where its events lie. A row may be empty (its last sequence is then before its
 * first): it only says how far reading got.
 */
export interface Batch {
  readonly stream: string;
  /** Creation time of the stream. */
  readonly incarnation: string;
  readonly batch: number;
  readonly epoch: number;
  readonly ordering: Ordering;
  readonly kind: BatchKind;
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** Highest sequence known to hold our message at the time; null before the first. */
  readonly settledTo: number | null;
  /** Every row up to this batch number was settled at the time; null in `stream` ordering. */
  readonly settledBatch: number | null;
  readonly positions: PositionRanges;
  /** Of a `replay`: its messages go to `<prefix>.<subject of the event>`; null: to the subject itself. */
  readonly subjectPrefix: string | null;
  readonly parked: PositionRanges;
  readonly readTo: number;
  readonly openFrom: number;
}

/**
 * Outside `stream` ordering: everything up to this row, the newest, is settled. Only an empty one can say so, and one may
 * have been written while what is before it was under way.
 */
export function saysAllSettled({ positions, batch, settledBatch }: Batch): boolean {
  return positions.length === 0 && (settledBatch ?? 0) >= batch - 1;
}
