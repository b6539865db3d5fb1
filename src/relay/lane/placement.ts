import type { Batch } from '../../batch-log/batch.ts';
import { positionsOf } from '../../postgres/position-ranges.ts';
import { type MessageName, nameOf, type PlannedMessage } from './planned-message.ts';

/** What the log says of one sequence. */
export interface PlannedSlot extends PlannedMessage {
  /** `void`: its event has another place by now; if the slot has to be passed, a marker fills it. */
  readonly what: 'event' | 'marker' | 'void';
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
 * one was stored instead, `marker` turns a slot into a marker's. A `replay` is a copy and moves nothing, but of copies
 * under the same subject the newest is the one that is repeated.
 */
export function placementOf(batches: readonly Batch[]): Placement {
  const slots = new Map<number, PlannedSlot>();
  const places = new Map<number, number>();
  const copies = new Map<MessageName, number>();
  const markers = new Map<number, number>();

  const empty = (sequence: number | undefined) => {
    const slot = sequence === undefined ? undefined : slots.get(sequence);
    if (sequence !== undefined && slot?.what === 'event') slots.set(sequence, { ...slot, what: 'void' });
  };
  const mark = (position: number, sequence: number) => {
    const { what, replay = false, prefix = null } = slots.get(sequence) ?? {};
    if (what === 'event' && !replay) markers.set(position, sequence);
    slots.set(sequence, { position, what: 'marker', replay, prefix });
  };
  const copy = (slot: PlannedSlot, sequence: number) => {
    empty(copies.get(nameOf(slot)));
    copies.set(nameOf(slot), sequence);
    slots.set(sequence, slot);
  };
  const place = (kind: Batch['kind'], position: number, sequence: number) => {
    if (places.get(position) !== sequence) empty(places.get(position));
    places.set(position, sequence);
    if (kind === 'found') markers.delete(position); // It was quicker than its marker.
    // What was found lies where another event may have been planned: that one's slot is not to be overwritten.
    if (kind !== 'found' || slots.get(sequence)?.position === position)
      slots.set(sequence, { position, what: 'event', replay: false, prefix: null });
  };
  for (const { kind, firstSequence, positions, subjectPrefix: prefix } of batches) {
    let sequence = firstSequence;
    for (const position of positionsOf(positions)) {
      if (kind === 'marker') mark(position, sequence);
      else if (kind === 'replay') copy({ position, what: 'event', replay: true, prefix }, sequence);
      else place(kind, position, sequence);
      sequence++;
    }
  }
  return { slots, places, markers };
}
