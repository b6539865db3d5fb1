import type { Batch } from '../../batch-log/batch.ts';
import { positionsOf } from '../../postgres/position-ranges.ts';

/** What the log says of one sequence. */
export interface PlannedSlot {
  readonly position: number;
  /** `void`: its event has another place by now; if the slot has to be passed, a marker fills it. */
  readonly what: 'event' | 'marker' | 'void';
  /** A further copy of an event that was published before. */
  readonly replay: boolean;
}

/** Which event belongs at which sequence, by the log. */
export interface Placement {
  readonly slots: ReadonlyMap<number, PlannedSlot>;
  /** Position to sequence: the one place of each event, also of those that were found elsewhere than planned. */
  readonly places: ReadonlyMap<number, number>;
  /** Position to sequence of the marker that stands for a dead event. */
  readonly markers: ReadonlyMap<number, number>;
}

/**
 * Reads rows of `stream` ordering, oldest first. Later rows win: `again` and `retry` move an event, `found` says where
 * one was stored instead, `marker` turns a slot into a marker's. A `replay` is a copy and moves nothing, but the newest
 * copy of an event is the one that is repeated.
 */
export function placementOf(batches: readonly Batch[]): Placement {
  const slots = new Map<number, PlannedSlot>();
  const places = new Map<number, number>();
  const copies = new Map<number, number>();
  const markers = new Map<number, number>();

  const empty = (sequence: number | undefined) => {
    const slot = sequence === undefined ? undefined : slots.get(sequence);
    if (sequence !== undefined && slot?.what === 'event') slots.set(sequence, { ...slot, what: 'void' });
  };
  const place = (kind: Batch['kind'], position: number, sequence: number) => {
    if (kind === 'marker') {
      if (slots.get(sequence)?.what === 'event') markers.set(position, sequence);
      slots.set(sequence, { position, what: 'marker', replay: false });
      return;
    }
    const replay = kind === 'replay';
    const where = replay ? copies : places;
    if (where.get(position) !== sequence) empty(where.get(position));
    where.set(position, sequence);
    if (kind === 'found') markers.delete(position); // It was quicker than its marker.
    // What was found lies where another event may have been planned: that one's slot is not to be overwritten.
    if (kind !== 'found' || slots.get(sequence)?.position === position)
      slots.set(sequence, { position, what: 'event', replay });
  };
  for (const { kind, firstSequence, positions } of batches) {
    let sequence = firstSequence;
    for (const position of positionsOf(positions)) place(kind, position, sequence++);
  }
  return { slots, places, markers };
}
